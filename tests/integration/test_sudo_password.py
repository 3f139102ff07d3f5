"""Commands as another user where sudo asks for a password: real users, the real sudo."""

from collections.abc import Iterator

import pytest

from sudo_users import Person, person

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def anyone() -> Iterator[Person]:
    with person() as made:
        yield made


def test_the_password_is_given_when_sudo_asks_for_it(anyone: Person) -> None:
    unit = anyone.unit("tasks: [{run: 'id -un; cat', sudo: {password: secrets.pw}}]\n")
    print(unit)
    assert 0
