from pathlib import Path

import pytest

from cutline.datasets import open_dataset
from cutline.datasets.catalog import DOWNLOADABLE
from cutline.errors import RecipeError
from cutline.recipe import FORMER, Recipe, complete, find, find_recipe, list_recipes

MINIMAL = {
    "source": {"kind": "shapes"},
    "encoder": {"kind": "mosaic"},
    "decoder": {"kind": "show-and-tell"},
    "search": {"kind": "beam"},
}


def with_option(section: str, **options: object) -> dict:
    return {**MINIMAL, section: {**MINIMAL.get(section, {}), **options}}


def test_every_default_is_written_out():
    recipe = Recipe.of(with_option("decoder", hidden=64))

    assert recipe.sections["decoder"] == {
        "kind": "show-and-tell",
        "embedding": 512,
        "hidden": 64,
        "dropout": 0.5,
        "reads_start": True,
    }
    assert recipe.sections["training"]["seed"] == 0
    assert recipe.sections["search"]["width"] == 3


def test_a_completed_recipe_completes_to_itself():
    recipe = Recipe.of({**MINIMAL, "title": "A claim", "hours": 0.5})

    assert Recipe.of(recipe.as_json()) == recipe


def test_a_part_is_built_from_what_is_given_and_its_options():
    recipe = Recipe.of(with_option("decoder", hidden=6, embedding=5))

    decoder = recipe.build("decoder", 7, 9)

    assert (decoder.see.in_features, decoder.see.out_features) == (7, 5)
    assert (decoder.speak.in_features, decoder.speak.out_features) == (6, 9)


def test_a_part_of_the_users_own_needs_no_registration():
    assert find("decoder", {"kind": "collections:OrderedDict"}).__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (with_option("decoder", hiden=8), "decoder has no option 'hiden'; did you mean 'hidden'?"),
        (
            with_option("decoder", kind="show-n-tell"),
            "no decoder 'show-n-tell'; did you mean 'show-",
        ),
        (
            with_option("decoder", kind="nowhere:Thing"),
            "is 'nowhere:Thing', custom code",
        ),
        (with_option("decoder", hidden="many"), "decoder.hidden is 'many', but .* of type int"),
        (with_option("encoder", tiles=True), "encoder.tiles is True, but it must be of type int"),
        (
            with_option("training", epoch=3),
            "training has no option 'epoch'; did you mean 'epochs'?",
        ),
        (with_option("training", schedule="cosin"), "schedule is 'cosin'; did you mean 'cosine'?"),
        ({**MINIMAL, "decoders": {}}, "no section 'decoders'; did you mean 'decoder'?"),
        ({**MINIMAL, "encoder": 3}, r"\[encoder\] is 3, but it must be a section"),
        ({}, r"section \[source\] must say which `kind`"),
    ],
)
def test_what_is_wrong_is_named_with_its_nearest_neighbour(table, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Recipe.of(table)


def test_code_of_the_users_own_is_run_when_it_is_trusted_only():
    address = "cutline.models.decoders.show_and_tell:ShowAndTell"
    own = with_option("decoder", kind=address)

    assert Recipe.of(own, trust=True).sections["decoder"]["kind"] == address
    with pytest.raises(RecipeError, match="runs only if you trust it"):
        Recipe.of(own)
    with pytest.raises(RecipeError, match="cannot import 'nowhere:Thing'"):
        Recipe.of(with_option("decoder", kind="nowhere:Thing"), trust=True)


def test_a_source_named_by_a_models_card_runs_no_code(tmp_path):
    with pytest.raises(RecipeError, match="custom code, which is not run"):
        open_dataset({"kind": "subprocess:run", "executable": "/bin/sh"}, tmp_path)
    with pytest.raises(RecipeError, match="source has no option 'executable'"):
        open_dataset({"kind": "folder", "executable": "/bin/sh"}, tmp_path)


def test_a_whole_number_passes_for_a_fraction():
    assert complete("training", {"max_grad_norm": 5})["max_grad_norm"] == 5


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"[source", "broken.toml is not TOML"), (b"\xff", "broken.toml is not TOML")],
)
def test_a_broken_file_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "broken.toml").write_bytes(content)

    with pytest.raises(RecipeError, match=sentence):
        Recipe.read(tmp_path / "broken.toml")
    with pytest.raises(RecipeError, match="there is no recipe"):
        Recipe.read(tmp_path / "absent.toml")


def test_the_packages_recipes_have_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no folder of recipes is
    (tmp_path / "mine.toml").write_text("")

    assert find_recipe(Path("fine-tune")) == find_recipe(Path("recipes/fine-tune.toml"))
    assert Recipe.read(find_recipe(Path("shapes"))).claim["title"].startswith("Drawn shapes")
    assert find_recipe(Path("mine.toml")) == Path("mine.toml")
    with pytest.raises(RecipeError, match="there is no recipe shape; did you mean 'shapes'"):
        find_recipe(Path("shape"))
    with pytest.raises(RecipeError, match="there is no recipe elsewhere/shapes.toml"):
        find_recipe(Path("elsewhere/shapes.toml"))


@pytest.mark.parametrize(
    ("section", "options", "sentence"),
    [
        ("decoder", {"hidden": 10**6}, "decoder.hidden is 1000000; it must be from 1 to 16,384"),
        ("decoder", {"hidden": 16**6_000}, "decoder.hidden is a very long number; it must be"),
        ("decoder", {"hidden": -5}, "decoder.hidden is -5; it must be from 1"),
        ("search", {"max_words": 0}, "search.max_words is 0; it must be from 1"),
        ("decoder", {"dropout": float("nan")}, "decoder.dropout is nan; it must be"),
        (
            "search",
            {"max_words": 10**9},
            "search.max_words is 1000000000; it must be from 1 to 1,000",
        ),
        ("training", {"epochs": 10**30}, "training.epochs is 1"),
        ("decoder", {"kind": ["a"]}, r"the kind of \[decoder\] is \['a'\], but it must be a name"),
        ("decoder", {"kind": 7}, r"the kind of \[decoder\] is 7"),
        ("training", {"schedule": ["x"] * 10**5}, "training.schedule is .*…"),
    ],
)
def test_what_no_machine_could_hold_is_refused_before_it_is_made(section, options, sentence):
    with pytest.raises(RecipeError, match=sentence) as refused:
        Recipe.of(with_option(section, **options))

    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"9" * 5_000, b"a = " + b"[" * 10_000, b"\xff", b"a = ", b"a = 0x" + b"f" * 9_000],
)
def test_a_file_that_is_no_toml_is_one_sentence(content, tmp_path):
    (tmp_path / "recipe.toml").write_bytes(content)

    with pytest.raises(RecipeError) as refused:
        Recipe.read(tmp_path / "recipe.toml")

    assert "recipe.toml" in str(refused.value)


MIXED = {
    **MINIMAL,
    "source": [
        {"name": "talk", "kind": "sentences", "share": 2.0},
        {"name": "home", "kind": "shapes", "count": 9, "repeat": 3},
        {"name": "zoo", "kind": "labels"},
    ],
}


def test_a_recipe_may_mix_sources():
    recipe = Recipe.of(MIXED)

    assert [each["name"] for each in recipe.mixed] == ["talk", "home", "zoo"]
    assert recipe.mixed[0] == {
        "name": "talk",
        "kind": "sentences",
        "weight": 0.5,
        "share": 2.0,
        "min_count": 8,
        "for_labels": True,
    }
    assert recipe.mixed[1]["repeat"] == 3 and recipe.mixed[1]["repeat_without_people"] == 0
    assert recipe.sections["source"]["kind"] == "shapes"
    assert "repeat" not in recipe.sections["source"]
    assert Recipe.of(recipe.as_json()) == recipe
    assert not Recipe.of(MINIMAL).mixed


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([{"kind": "shapes"}], "every .*source.* needs a `name`"),
        ([{"name": "a", "kind": "shapes"}, {"name": "a", "kind": "coco"}], "have the name 'a'"),
        ([{"name": "a"}], "the source 'a' must say which `kind`"),
        ([{"name": "a", "kind": "sentenses"}], "'sentenses'; did you mean 'sentences'?"),
        (
            [{"name": "a", "kind": "sentences"}],
            "at least one .*source.* must have pictures with captions",
        ),
        ([{"name": "a", "kind": "sentences", "wieght": 1}], "'wieght'; did you mean 'weight'?"),
        ([{"name": "a", "kind": "shapes", "repeat": "often"}], "source.repeat is 'often'"),
        ([{"name": "a", "kind": "os:system"}], "its source 'a' is 'os:system', custom code"),
        ([3], "every .*source.* needs a `name`"),
    ],
)
def test_what_is_wrong_with_a_mixture_is_told(sources, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Recipe.of({**MINIMAL, "source": sources})


# ------------------------------------------------------------------------- options on the command


def write_recipe(folder: Path) -> Path:
    path = folder / "own.toml"
    path.write_text(
        """
        [[source]]
        name = "own"
        kind = "folder"
        [encoder]
        kind = "mosaic"
        [decoder]
        kind = "show-and-tell"
        [search]
        kind = "beam"
        [training]
        epochs = 20
        [[then]]
        learning_rate = 1e-5
        """
    )
    return path


def test_options_may_be_set_in_place_of_the_files(tmp_path):
    overrides = [
        "training.epochs=5",
        "training.optimizer=adam",
        "then.0.epochs = 2",
        "source.own.repeat=3",
        "vocabulary.min_count=2",
    ]

    recipe = Recipe.read(write_recipe(tmp_path), overrides=overrides)

    assert [training.epochs for training in recipe.trainings] == [5, 2]
    assert {training.optimizer for training in recipe.trainings} == {"adam"}
    assert recipe.mixed[0]["repeat"] == 3
    assert recipe.sections["vocabulary"]["min_count"] == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epoch=5", "training has no option 'epoch'; did you mean 'epochs'?"),
        ("training.epochs=many", "training.epochs is 'many', but it must be of type int"),
        ("epochs=5", "--set epochs=5: use section.option=value, such as training.epochs=5"),
        ("training.epochs", "--set training.epochs: use section.option=value"),
        ("then.1.epochs=2", "--set then.1.epochs=2: there is no '1'"),
        ("then.epochs=2", r"--set then.epochs=2: there are 1 \[\[then\]\]; say which"),
        ("training.epochs.more=2", "--set training.epochs.more=2: 'epochs' is not a section"),
        ("traning.epochs=2", "a recipe has no section 'traning'; did you mean 'training'?"),
    ],
)
def test_an_option_that_cannot_be_set_is_told(override, said, tmp_path):
    with pytest.raises(RecipeError, match=said):
        Recipe.read(write_recipe(tmp_path), overrides=[override])


def test_the_recipes_and_the_data_sets_are_listed(run):
    code, recipes, _ = run("recipes")
    also, data, _ = run("data", "list")

    assert (code, also) == (0, 0)
    assert [line.split()[0] for line in recipes.splitlines()] == list(list_recipes())
    assert "Concept attention on Flickr8k" in recipes
    assert [line.split()[0] for line in data.splitlines()] == [*DOWNLOADABLE, "--kind:"]
    assert "annotations, " in data


def test_the_names_of_before_still_open():
    training = {"together": "picture", "average": 0.9, "mirrored": 0.5, "clip": 2.0, "epochs": 3}

    completed = complete("training", training)

    assert completed["batch_by"] == "picture" and completed["ema_decay"] == 0.9
    assert completed["horizontal_flip"] == 0.5 and completed["max_grad_norm"] == 2.0
    assert not FORMER.keys() & completed.keys()
    assert complete("training", completed) == completed


def test_epochs_are_those_of_the_last_training(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(find_recipe(Path("shapes")).read_text() + "\n[[then]]\nepochs = 2\n")

    once, twice = (Recipe.read(each, epochs=9) for each in (find_recipe(Path("shapes")), path))

    assert [each.epochs for each in once.trainings] == [9]
    assert twice.trainings[0].epochs != 9
    assert twice.trainings[1].epochs == 9
