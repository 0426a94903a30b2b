"""Options shared by several commands, defined once so that they mean the same everywhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from cutline.cli.progress import set_quiet
from cutline.engines import split_name
from cutline.errors import CutlineError, ModelError
from cutline.text.style import Form, Style, read_words
from cutline.text.words import ENGLISH, primary_language

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class Option(click.Option):
    """An option that also accepts its `former` spellings, which the help does not show."""

    def __init__(self, declarations: Sequence[str], former: Sequence[str] = (), **rest: Any):
        super().__init__([*declarations, *former], **rest)
        self.former = former

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The line of the help, with the current spellings only."""
        spellings = self.opts
        self.opts = [name for name in spellings if name not in self.former]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = spellings


class _ModelArgument(click.Argument):
    """MODEL as an argument; `is_shown` says whether it is in the usage line."""

    def __init__(self, *given: Any, is_shown: bool, **rest: Any) -> None:
        super().__init__(*given, **rest)
        self.is_shown = is_shown

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        """`MODEL`, or nothing."""
        return ["MODEL"] if self.is_shown else []


def out_option(help: str, *, required: bool = False) -> Decorator:
    """`-o/--out`: the file or folder that the command writes."""
    return click.option("-o", "--out", type=Path, required=required, help=help)


def json_option(help: str) -> Decorator:
    """`--json`: standard output is JSON, as docs/reference.md describes it."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print JSON: {help}.")


class _ModelName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """A path, or a name such as `hf:owner/name`, which stays as it is."""

    name = "model"

    def convert(
        self, value: Any, _: click.Parameter | None, __: click.Context | None
    ) -> Path | str:
        """The path, or the name."""
        return value if isinstance(value, Path) or split_name(value) else Path(value)


def file_of(model: Path | str | None) -> Path | None:
    """The file or folder of a model; None for the built-in one and for names."""
    return model if isinstance(model, Path) else None


def own_model(model: Path | str | None) -> Path | None:
    """The model, if it is not one of another project. Raises `ModelError` otherwise."""
    if isinstance(model, str):
        raise ModelError(f"{model} is not a model that cutline trained, which this command needs")
    return model


def _model_option(help: str) -> Decorator:
    return click.option("-m", "--model", type=_ModelName(), metavar="MODEL", help=help)


_MODEL_HELP = "Model folder, one-file model, or hf:, onnx:, openai: or ollama:NAME"
model_option = _model_option(f"{_MODEL_HELP} [default: built in].")


def _check_language(_: click.Context, __: click.Parameter, tag: str | None) -> str | None:
    """The language of a tag without its region; raises `BadParameter` if it is not one."""
    if tag is None:
        return None
    if not (language := primary_language(tag)):
        raise click.BadParameter(f"{tag!r} is not a language tag such as en, de or pt-BR")
    return language


language_option = click.option(
    "--language",
    metavar="TAG",
    callback=_check_language,
    help="Language of the captions, such as de [default: the model's, or en].",
)


class _SpokenModel(_ModelName):
    """A model, or `de=MODEL` for one that writes in that language; a pair of language and model."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The language, empty if none is named, and the path or name."""
        if isinstance(value, tuple):
            return value
        tag, equals, rest = value.partition("=")
        language = primary_language(tag) if equals and rest else ""
        return language, super().convert(rest if language else value, param, ctx)


def models_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-m/--model` for one or several languages; the command receives `models` by language."""

    @wraps(command)
    def naming(*given: Any, model: Sequence[tuple[str, Path | str]], **options: Any) -> Any:
        models = dict(model)
        if len(models) < len(model):
            raise click.UsageError("two models are named for the same language")
        return command(*given, models=models, **options)

    return click.option(
        "-m",
        "--model",
        type=_SpokenModel(),
        multiple=True,
        metavar="MODEL",
        help=f"{_MODEL_HELP}; de=MODEL for German [default: built in].",
    )(naming)


def model_by_language(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--model` and `--language`; the command receives the `model` of the `language`."""

    @wraps(command)
    def chosen(
        *given: Any, models: Mapping[str, Path | str], language: str | None, **options: Any
    ) -> Any:
        model = choose_model(models, language)
        return command(*given, model=model, language=language, **options)

    return models_option(language_option(chosen))


def choose_model(models: Mapping[str, Path | str], language: str | None) -> Path | str | None:
    """The model of a language, or the one for any; None for the built-in one.

    Raises `ModelError` if no model for the language was named.
    """
    if language is None and len(models) == 1:
        return next(iter(models.values()))
    if "" in models or language in (None, ENGLISH, *models):
        return models.get(language or "", models.get(""))
    named = f"; those named are for {', '.join(models)}" if models else ""
    raise ModelError(
        f"the built-in model writes English{named}: name a model for captions in {language!r} with "
        f"--model {language}=PATH (docs/languages.md)"
    )


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options for models of other projects; the command receives `asked`, for `load`."""

    @wraps(command)
    def asking(*given: Any, prompt: Path | None, timeout: float | None, **options: Any) -> Any:
        text = _read_prompt(prompt) if prompt else None
        return command(*given, asked={"prompt": text, "timeout": timeout}, **options)

    prompt = click.option(
        "--prompt", type=Path, help="File with the prompt, for models that read one."
    )
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds that one request to a server may take [default: 120].",
    )
    return prompt(timeout(asking))


def _read_prompt(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CutlineError(f"the prompt {path} cannot be read: {reason}") from None
    if not text:
        raise CutlineError(f"the prompt {path} is empty")
    return text


def model_or_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-m/--model`; accepts MODEL as an argument too, as 0.1.0 did, but the help hides that."""
    return _take_model(command, required=False)


def model_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument MODEL of a command that converts a model; accepts `-m/--model` too."""
    return _take_model(command, required=True)


def _take_model(command: Callable[..., Any], *, required: bool) -> Callable[..., Any]:
    @wraps(command)
    def chosen(
        *given: Any, model: Path | str | None, model_argument: Path | str | None, **rest: Any
    ) -> Any:
        if model and model_argument:
            raise click.UsageError(f"two models are named: {model} and {model_argument}")
        if required and not (model or model_argument):
            raise click.UsageError("Missing argument 'MODEL'.")
        return command(*given, model=model or model_argument, **rest)

    argument = click.argument(
        "model_argument",
        metavar="MODEL",
        required=False,
        type=Path if required else _ModelName(),
        cls=_ModelArgument,
        is_shown=required,
    )
    option = _model_option("The same as MODEL.") if required else model_option
    return option(argument(chosen))


def _check_device(_: click.Context, __: click.Parameter, device: str) -> str:
    if not DEVICE.fullmatch(device):
        raise click.BadParameter(f"{device!r} is not auto, cpu, cuda, cuda:N or mps")
    return device


device_option = click.option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    callback=_check_device,
    help="PyTorch device: auto, cpu, cuda, cuda:1 or mps.",
)


def _set_quiet(_: click.Context, __: click.Parameter, quiet: bool) -> None:
    if quiet:
        set_quiet()


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_quiet,
    help="Show errors only: no progress, no summary.",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace existing files that cutline did not create."
)


def _check_threads(_: click.Context, __: click.Parameter, threads: int | None) -> int | None:
    if threads is not None and threads < 1:
        raise click.BadParameter(f"{threads} cores cannot caption: name 1 or more, or leave it out")
    return threads


threads_option = click.option(
    "--threads",
    type=int,
    metavar="NUMBER",
    callback=_check_threads,
    help="Number of CPU cores to use, or of requests at a time to a server [default: all; 4].",
)


def existing_option(*, default: bool) -> Decorator:
    """`--prefer-existing`: the text that a picture has already, instead of a caption."""
    return click.option(
        "--prefer-existing/--ignore-existing",
        "prefer_existing",
        default=default,
        show_default=True,
        help="Take the description or alt text that a picture or its sidecar already has.",
    )


keywords_option = click.option(
    "--keywords",
    is_flag=True,
    help="Add the nouns of each caption to the keywords of its picture.",
)
null_option = click.option(
    "-0",
    "--null",
    is_flag=True,
    help="Names on standard input and lines of output end with a null character: find -print0.",
)
trust_option = click.option(
    "--trust", is_flag=True, help="Run third-party code that the recipe names."
)


def min_confidence_option(default: str) -> Decorator:
    """`--min-confidence`: None when it is not given."""
    return click.option(
        "--min-confidence",
        type=click.FloatRange(0, 1),
        help=f"Leave out captions below this confidence [default: {default}].",
    )


# ------------------------------------------------------------------------------- data and scores

data_option = click.option(
    "--data", type=Path, required=True, help="The data set, in its original layout."
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Leave out what is invalid in the data, and list it."
)
kind_option = click.option("--kind", help="Kind of data set [default: the model's training data].")
references_option = click.option(
    "--references",
    type=Path,
    required=True,
    help="COCO, Karpathy, JSON, JSON Lines or Flickr8k file, or a data set folder.",
)
reference_split_option = click.option(
    "--split", help="Split of a Karpathy file or a data set folder [default: test]."
)
partial_option = click.option(
    "--partial", is_flag=True, help="Score only the images found in both files."
)
df_option = click.option(
    "--df",
    default="refs",
    show_default=True,
    help="Document frequencies for CIDEr: refs, coco, a table, or a file of captions.",
)
draws_option = click.option(
    "--draws",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Bootstrap samples for the confidence intervals; 0 for none.",
)


# ----------------------------------------------------------------------------- style of captions


def style_options(command: Callable[..., Any], *, neutral: bool = False) -> Callable[..., Any]:
    """The options for the style of captions; the command receives a `Style`.

    `neutral` is the default of `--neutral`.
    """
    options = (
        click.option(
            "--any-picture", is_flag=True, help="Also caption drawings, documents and screenshots."
        ),
        click.option(
            "--style",
            "style_form",
            type=click.Choice(get_args(Form)),
            default="auto",
            show_default=True,
            help="Sentence, or phrase such as `a zebra`; auto: a phrase where unsure.",
        ),
    )
    styled = text_options(command, neutral=neutral)
    for option in options:
        styled = option(styled)
    return styled


def text_options(command: Callable[..., Any], *, neutral: bool = False) -> Callable[..., Any]:
    """Only the options for length and wording: every picture gets a sentence."""

    @wraps(command)
    def styled(
        *given: Any,
        max_chars: int | None,
        avoid: Path | None,
        sentence: bool,
        is_neutral: bool,
        style_form: Form = "sentence",
        any_picture: bool = True,
        **options: Any,
    ) -> Any:
        words = read_words(avoid) if avoid else frozenset[str]()
        style = Style(max_chars, words, sentence, style_form, any_picture, is_neutral)
        return command(*given, style=style, **options)

    options = (
        click.option("--sentence", is_flag=True, help="Capitalize, and end with a full stop."),
        click.option(
            "--neutral/--gendered",
            "is_neutral",
            default=neutral,
            show_default=True,
            help="Person, people and child in place of man, woman, boy and girl.",
        ),
        click.option("--avoid", type=Path, help="File of words never to use, one per line."),
        click.option("--max-chars", type=int, help="Maximum length of a caption, in characters."),
    )
    for option in options:
        styled = option(styled)
    return styled
