"""Recipes: TOML files that name the parts of a run and their options.

There are no configuration classes. The options of a part are the parameters of its constructor,
and an error suggests the nearest valid one. A completed recipe contains every default, so a saved
run keeps its meaning if defaults change.
"""

import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cutline.errors import RecipeError, nearest

FAMILIES = {
    "source": "cutline.datasets:SOURCES",
    "encoder": "cutline.models.encoders:ENCODERS",
    "decoder": "cutline.models.decoders:DECODERS",
    "search": "cutline.models.search:SEARCHES",
}
"""Sections with a `kind`; each table maps the kinds to `module:constructor`."""

BEYOND_USE = "it has a number with thousands of digits, or is nested too deeply"

THEN = "then"
"""Further trainings, `[[then]]`: each continues from the best epoch of the one before. Options that
it does not give are those of `[training]`."""

PARTS = {
    "view": "cutline.images.load:View",
    "vocabulary": "cutline.text.vocabulary:Vocabulary.of",
    "training": "cutline.training.trainer:Training",
}
"""Sections without a `kind`."""

MIXED = "cutline.datasets:MIXTURE_ONLY"
"""Sources without image-caption pairs, allowed in `[[source]]` in addition to others."""
SHARE = "cutline.datasets.mixture:Share"
"""Options that a source of pairs has in `[[source]]` besides its own."""

FORMER = {
    "together": "batch_by",
    "sampled": "scheduled_sampling",
    "tuned": "unfrozen_stages",
    "mirrored": "horizontal_flip",
    "zoomed": "random_crop",
    "average": "ema_decay",
    "smoothing": "label_smoothing",
    "clip": "max_grad_norm",
    "encoder_rate": "encoder_learning_rate",
}
"""Names that options of a training had in 0.1.0, whose recipes and models can still be read."""

OF_A_MODEL = ("view", "encoder", "decoder", "search")
"""Sections that are taken from the model to continue from, unless the recipe has them."""

CLAIM = {"title", "paper", "command", "hours", "expected", "licence", "limits"}
"""Keys that describe the recipe; the model's card repeats them."""


MOST = {"hidden": 16_384, "embedding": 16_384, "layers": 48, "heads": 256, "tiles": 64}
MOST |= {"max_words": 1_000, "width": 100, "samples": 1_000}
LARGEST = 10**12
"""The largest values of options, beyond the largest networks but small enough for any machine's
memory; `LARGEST` is for options not listed in `MOST`."""

PACKAGED = (Path(__file__).parent / "recipes", Path(__file__).parents[2] / "recipes")
"""The folder of recipes in an installed package, and that in a clone of the repository."""


def list_recipes() -> dict[str, Path]:
    """The packaged recipes by name."""
    return {path.stem: path for folder in PACKAGED for path in sorted(folder.glob("*.toml"))}


def find_recipe(named: Path) -> Path:
    """The path of a recipe: a file, or a packaged recipe such as `fine-tune`.

    Packaged recipes are also found as `recipes/shapes.toml`. Raises `RecipeError` if there is
    neither.
    """
    if named.is_file():
        return named
    known = list_recipes()
    if named.name.removesuffix(".toml") in known and named.parent in (Path(), Path("recipes")):
        return known[named.name.removesuffix(".toml")]
    raise RecipeError(f"there is no recipe {named}{nearest(named.stem, known)}")


@dataclass(frozen=True)
class Recipe:
    """The description of a run: every part and its options."""

    claim: Mapping[str, Any]
    sections: Mapping[str, Mapping[str, Any]]
    then: tuple[Mapping[str, Any], ...] = ()
    mixed: tuple[Mapping[str, Any], ...] = ()
    """Several sources, `[[source]]`; the section `source` is then the first one with pairs."""

    @classmethod
    def read(
        cls,
        path: Path,
        *,
        kind: str | None = None,
        model: "Recipe | None" = None,
        overrides: Sequence[str] = (),
        epochs: int | None = None,
        trust: bool = False,
    ) -> "Recipe":
        """Read, complete and check a TOML file.

        `kind` replaces the file's source by one of this kind, with default options. `model` is the
        recipe of the model to continue from; it provides the sections in `OF_A_MODEL` that the file
        does not have. `overrides` replace options: `training.epochs=5`, `then.0.epochs=2` for the
        first further training, `source.NAME.repeat=3` for one of several sources. `epochs` are
        those of the last training. With `trust` the file may name custom code, which is imported.

        Raises `RecipeError` that says what is wrong and where.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf8"))
            if kind:
                table["source"] = {"kind": kind}
            if model:
                table = {name: dict(model.sections[name]) for name in OF_A_MODEL} | table
            for override in overrides:
                _override(table, override)
            if epochs:
                last = f"{THEN}.{len(table[THEN]) - 1}" if table.get(THEN) else "training"
                _override(table, f"{last}.epochs={epochs}")
            return cls.of(table, trust=trust)
        except FileNotFoundError:
            raise RecipeError(f"there is no recipe {path}") from None
        except OSError as error:
            raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} is not TOML: {error}") from None
        except (ValueError, RecursionError):
            raise RecipeError(f"{path} is not TOML: {BEYOND_USE}") from None
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def of(cls, table: Mapping[str, Any], *, trust: bool = False) -> "Recipe":
        """Check every section against its part's signature and add the defaults.

        A `kind` may be custom code (`module:Class`) only with `trust`: a recipe from elsewhere must
        not run arbitrary code.
        """
        table, mixed = _take_mixture(table, trust=trust)
        known = CLAIM | FAMILIES.keys() | PARTS.keys() | {THEN}
        for name in table:
            if name not in known:
                raise RecipeError(f"a recipe has no section {name!r}{nearest(name, known)}")
        for name in (FAMILIES.keys() | PARTS.keys()) & table.keys():
            if not isinstance(table[name], Mapping):
                raise RecipeError(f"[{name}] is {_show(table[name])}, but it must be a section")
        _check_kinds(table, trust=trust)
        sections = {name: complete(name, table.get(name, {})) for name in (*FAMILIES, *PARTS)}
        first, later = table.get("training", {}), table.get(THEN, [])
        if not isinstance(later, list) or not all(isinstance(each, Mapping) for each in later):
            raise RecipeError(f"[[{THEN}]] must be a list of sections, each a training")
        then = tuple(complete("training", {**_rename(first), **_rename(each)}) for each in later)
        return cls({name: table[name] for name in table if name in CLAIM}, sections, then, mixed)

    @property
    def names_code(self) -> bool:
        """Whether a part is custom code, which was trusted when the recipe was read."""
        kinds = [self.sections[name]["kind"] for name in FAMILIES]
        return any(":" in kind for kind in (*kinds, *(each["kind"] for each in self.mixed)))

    @property
    def language(self) -> str:
        """The language of the captions, as a tag."""
        return str(self.sections["vocabulary"]["language"])

    @property
    def trainings(self) -> list[Any]:
        """The trainings of the run, in order."""
        part = find("training", {})
        return [part(**options) for options in (self.sections["training"], *self.then)]

    def build(self, section: str, *given: Any) -> Any:
        """Construct the part of a section; `given` are arguments that a recipe does not contain."""
        return self.partial(section)(*given)

    def partial(self, section: str) -> Callable[..., Any]:
        """The constructor of a section's part, with its options bound."""
        options = {name: v for name, v in self.sections[section].items() if name != "kind"}
        return partial(find(section, self.sections[section]), **options)

    def with_options(self, section: str, **options: Any) -> "Recipe":
        """A copy with other values for some options of a section."""
        changed = {**self.sections[section], **options}
        return replace(self, sections={**self.sections, section: changed})

    def with_epochs(self, epochs: int) -> "Recipe":
        """A copy whose last training has other epochs."""
        if not self.then:
            return self.with_options("training", epochs=epochs)
        return replace(self, then=(*self.then[:-1], {**self.then[-1], "epochs": epochs}))

    def as_json(self) -> dict[str, Any]:
        """The recipe as a table like that of the TOML file, with all defaults."""
        sections = {name: dict(options) for name, options in self.sections.items()}
        return {
            **self.claim,
            **sections,
            **({"source": list(map(dict, self.mixed))} if self.mixed else {}),
            **({THEN: list(map(dict, self.then))} if self.then else {}),
        }


def _override(table: dict[str, Any], text: str) -> None:
    """Set one option of a recipe's table."""
    key, equals, value = text.partition("=")
    *path, option = key.strip().split(".")
    if not equals or not path or not option:
        raise RecipeError(f"--set {text}: use section.option=value, such as training.epochs=5")
    part: Any = table
    for name in path:
        if isinstance(part, list):
            named = {str(each.get("name", n)): each for n, each in enumerate(part)}
            if name not in named:
                raise RecipeError(f"--set {text}: there is no {name!r}{nearest(name, named)}")
            part = named[name]
        else:
            part = part.setdefault(name, {})
        if not isinstance(part, dict | list):
            raise RecipeError(f"--set {text}: {name!r} is not a section")
    if isinstance(part, list):
        raise RecipeError(f"--set {text}: there are {len(part)} [[{path[0]}]]; say which")
    try:
        part[option] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        part[option] = value.strip()  # on a command line, strings need no quotes


def _check_kinds(table: Mapping[str, Any], *, trust: bool) -> None:
    for name in FAMILIES:
        if "kind" not in table.get(name, {}):
            either = ", or start --from a model" if name in OF_A_MODEL else ""
            raise RecipeError(f"section [{name}] must say which `kind`{either}")
        kind = table[name]["kind"]
        if not isinstance(kind, str):
            raise RecipeError(f"the kind of [{name}] is {_show(kind)}, but it must be a name")
        if not trust and ":" in kind:
            raise RecipeError(
                f"its {name} is {_show(kind)}, custom code, "
                "which runs only if you trust it (--trust)"
            )


def find(section: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The constructor of a section's part: of a known kind, or a custom `module:Class`."""
    if section in PARTS:
        return _import(PARTS[section])
    family, kind = _import(FAMILIES[section]), options["kind"]
    address = family.get(kind, kind)
    if ":" not in address:
        raise RecipeError(f"there is no {section} {kind!r}{nearest(kind, family)}")
    return _import(address)


def complete(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a section, with all defaults."""
    options = _rename(options) if section == "training" else options
    return _complete(find(section, options), section, options)


def _rename(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training under their current names."""
    return {FORMER.get(name, name): value for name, value in options.items()}


def _complete(part: Callable[..., Any], section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(part).parameters.items()
        if parameter.default is not parameter.empty
    }
    kind = {"kind": options["kind"]} if "kind" in options else {}
    chosen = {name: value for name, value in options.items() if name != "kind"}
    for name, value in chosen.items():
        if name not in parameters:
            raise RecipeError(f"{section} has no option {_show(name)}{nearest(name, parameters)}")
        _check_value(f"{section}.{name}", value, parameters[name])
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if isinstance(parameter.default, bool | int | float | str)
    }
    return {**kind, **defaults, **chosen}


def _take_mixture(
    table: Mapping[str, Any], *, trust: bool
) -> tuple[Mapping[str, Any], tuple[dict[str, Any], ...]]:
    """The recipe with its first source of pairs as the only source, and the list of all sources."""
    if not isinstance(table.get("source"), list):
        return table, ()
    mixed = _complete_mixture(table["source"], trust=trust)
    return {**table, "source": _find_pairs(mixed)}, mixed


def _complete_mixture(given: list[Any], *, trust: bool) -> tuple[dict[str, Any], ...]:
    """The sources of `[[source]]`, each with its name and all defaults."""
    completed: list[dict[str, Any]] = []
    for options in given:
        name = options.get("name") if isinstance(options, Mapping) else None
        if not isinstance(name, str) or not name or "=" in name:
            raise RecipeError("every [[source]] needs a `name`, which --data refers to")
        if name in {each["name"] for each in completed}:
            raise RecipeError(f"two [[source]] have the name {name!r}")
        if not isinstance(options.get("kind"), str):
            raise RecipeError(f"the source {name!r} must say which `kind`")
        if ":" in options["kind"] and not trust:
            raise RecipeError(
                f"its source {name!r} is {options['kind']!r}, custom code, "
                "which runs only if you trust it (--trust)"
            )
        own = {option: value for option, value in options.items() if option != "name"}
        completed.append({"name": name, **_complete_one(own)})
    return tuple(completed)


def _complete_one(options: Mapping[str, Any]) -> dict[str, Any]:
    pairs, beside, kind = _import(FAMILIES["source"]), _import(MIXED), options["kind"]
    if kind in beside:
        return _complete(_import(beside[kind]), "source", options)
    if kind not in pairs and ":" not in kind:
        raise RecipeError(f"there is no source {kind!r}{nearest(kind, [*pairs, *beside])}")
    share, own = split_share(options)
    return {**complete("source", own), **_complete(_import(SHARE), "source", share)}


def split_share(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a source's options into those of `Share` and its own."""
    names = inspect.signature(_import(SHARE)).parameters
    share = {name: value for name, value in options.items() if name in names}
    return share, {n: v for n, v in options.items() if n not in names and n != "name"}


def _find_pairs(mixed: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The own options of the first source of pairs."""
    for options in mixed:
        if options["kind"] not in _import(MIXED):
            return split_share(options)[1]
    raise RecipeError("at least one [[source]] must have pictures with captions")


def _check_value(name: str, value: Any, parameter: inspect.Parameter) -> None:
    """Check a value against a `Literal` annotation, or against the default's type and limits."""
    if get_origin(parameter.annotation) is Literal:
        accepted = get_args(parameter.annotation)
        if value not in accepted:
            near = nearest(value if isinstance(value, str) else "", accepted)
            raise RecipeError(f"{name} is {_show(value)}{near}")
    elif isinstance(parameter.default, bool | int | float | str):
        meant = type(parameter.default)
        fits = isinstance(value, int | float if meant is float else meant)
        if not fits or isinstance(value, bool) != (meant is bool):
            raise RecipeError(f"{name} is {_show(value)}, but it must be of type {meant.__name__}")
        own = name.rpartition(".")[2]
        least, most = (1, MOST[own]) if own in MOST else (-LARGEST, LARGEST)
        if meant in (int, float) and not least <= value <= most:  # false for NaN, too
            raise RecipeError(f"{name} is {_show(value)}; it must be from {least:,} to {most:,}")


def _show(value: Any) -> str:
    """A value for an error message, cut off if it is long."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # Python refuses to write more than 4,300 digits
        return "a very long number"
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _import(address: str) -> Any:
    module, _, name = address.partition(":")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"cannot import {address!r}: {error}") from None
    return found
