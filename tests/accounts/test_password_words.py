"""Passwords made of what anybody would try here are refused, and no others."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.password_words import NoWordsOfThisPlace
from tests.people import a_team

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "password", ["Baton-2026!", "batonBATONbaton", "acme-glob-1", "Acme/Password1", "baton.initech.1"]
)
def test_a_password_of_words_of_this_place_is_refused(password: str, settings: Any) -> None:
    settings.BASE_URL = "https://baton.initech.example"
    with pytest.raises(ValidationError, match="too little of this is left"):
        NoWordsOfThisPlace().validate(password, a_team().alice)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "my baton is a stick of wood", "Kx9#vQ2m$Xw7", "globex-and-9x", "short"]
)
def test_what_holds_enough_besides_is_taken(password: str, settings: Any) -> None:
    settings.BASE_URL = "https://baton.initech.example"
    NoWordsOfThisPlace().validate(password, a_team().alice)


def test_who_is_not_a_member_yet_is_held_to_the_words_of_all() -> None:
    with pytest.raises(ValidationError):
        NoWordsOfThisPlace().validate("baton-admin-1", User(email="new@example.com"))
