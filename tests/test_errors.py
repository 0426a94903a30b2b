"""Messages stay one sentence, whatever the names of foreign files hold."""

from cutline.errors import LONGEST, DataError


def test_control_characters_in_messages_are_escaped():
    assert str(DataError("a\x1b[2J\x00.jpg\n: it\x9b is damaged")) == (
        "a\\x1b[2J\\x00.jpg\\n: it\\x9b is damaged"
    )
    assert str(DataError("für 犬.jpg")) == "für 犬.jpg"


def test_the_middle_of_a_long_message_is_left_out():
    message = str(
        DataError("recipe.toml: no section '" + "x" * 10**6 + "'; did you mean 'training'?")
    )

    assert len(message) < LONGEST
    assert message.startswith("recipe.toml: no section 'xxx")
    assert message.endswith("'; did you mean 'training'?")
