"""What looks sensitive: names by their last words, shapes by their check digits."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.policy import SENSITIVE_CHARS
from proxy.telemetry.sensitive import is_card, is_plain, kind_of_name, kind_of_text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("password", "credential"),
        ("user_password", "credential"),
        ("X-API-Key", "credential"),
        ("diagnosis", "health"),
        ("diagnosisText", "health"),
        ("ICD10code", "health"),
        ("contactEMail", "contact"),
        ("phoneNumber", "contact"),
        ("addressLine1", "contact"),
        ("date_of_birth", "identity"),
        ("patient.firstName", "identity"),
        ("IBAN", "bank"),
        ("cardNumber", "bank"),
        ("geoLocation", "place"),
        ("emailTemplate", None),
        ("tokenType", None),
        ("content", None),
        ("number", None),
        ("", None),
        ("7", None),
        ("x" * 65 + "Password", None),
        ("пароль", None),
    ],
)
def test_the_last_words_of_a_name_tell(name: str, kind: str | None) -> None:
    assert kind_of_name(name) == kind


# Numbers of documentation: of card networks, of ISO 13616, of the authorities that give them out.
CARDS = ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009", "6011000000000004"]
IBANS = ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "FR1420041010050500013M02606",
         "CH9300762011623852957"]  # fmt: skip
SECURITY = ["078-05-1120", "756.9217.0769.85", "2 55 08 14 168 025 38", "65 170839 J 003",
            "15070649C103"]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (CARDS, "card-number"),
        (IBANS, "iban"),
        (SECURITY, "social-security-number"),
        (["ada@example.org", "Ada <ada.l@mail.example.co.uk>"], "e-mail"),
    ],
)
def test_shapes_are_found_alone_and_in_a_sentence(texts: list[str], kind: str) -> None:
    for text in texts:
        assert kind_of_text(text) == kind, text
        assert kind_of_text(f"Please note {text}, thank you.") == kind, text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IBAN DE89370400440532013000 BIC COBADEFFXXX", "iban"),
        ("DE89370400440532013000 OK", "iban"),
        ("DE89 3704 0044 0532 0130 00 BIC: COBADEFFXXX", "iban"),
        ("BE68 5390 0754 7034 KBC BRUSSELS", "iban"),
        ("BE68 5390 0754 7034 BANK", "iban"),
        ("GB82 WEST 1234 5698 7654 32 A1", "iban"),
        ("My card is 4111 1111 1111 1111.", "card-number"),
        ("4111111111111111 12/27", "card-number"),
        ("4111111111111111 exp 12/27", "card-number"),
        ("4111 1111 1111 1111 123", "card-number"),
        ("4111-1111-1111-1111 12 27", "card-number"),
        ("3782 822463 10005 12/27", "card-number"),
    ],
)
def test_a_number_is_found_whatever_follows_it(text: str, kind: str) -> None:
    assert kind_of_text(text) == kind


@pytest.mark.parametrize("text", [*CARDS, *IBANS, *SECURITY[1:]])
def test_a_changed_digit_makes_it_nothing(text: str) -> None:
    at = max(at for at, char in enumerate(text) if char.isdigit())
    changed = f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}"
    assert kind_of_text(changed) != kind_of_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "2027-02-20T10:00:00Z", "1764285600000", "1.4111111111111111",
        "4111111111111111.5", "4111111111111111-5", "2345678901234567 12", "DE89 3704 0044 BIC",
        "DE89370400440532013001 OK",
        "000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "4444444444444444444444",
        "0000000000000000", "a@b", "me @example.org", "c1f4b9e2-3a5d-4a1b-9d2e-7f0011223344",
    ],
)  # fmt: skip
def test_what_is_usual_looks_like_nothing(text: str) -> None:
    assert kind_of_text(text) is None


@given(st.text(max_size=400))
def test_any_text_is_looked_at_and_only_its_beginning(text: str) -> None:
    assert kind_of_text(text) == kind_of_text(text[:SENSITIVE_CHARS])


@given(st.text(alphabet=string.digits + "A -.@" + string.ascii_uppercase[:4], max_size=300))
def test_texts_that_nearly_look_like_numbers_do_no_harm(text: str) -> None:
    kind_of_text(text)


@given(st.text(alphabet=string.digits, min_size=13, max_size=18))
def test_of_ten_last_digits_one_makes_a_card_number(digits: str) -> None:
    assert sum(is_card(f"{digits}{last}") for last in string.digits) in {0, 1}


@given(st.text(max_size=80))
def test_only_words_of_our_list_are_shown(name: str) -> None:
    if is_plain(name):
        assert name.isascii()
        assert len(name) <= 64


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("patient", True), ("patientRecords", True), ("contact_email", True),
        ("date-of-birth", True),
        ("ada", False), ("ada@example.org", False), ("patient7", False), ("emailAda", False),
        ("", False), ("_", False), ("patient/email", False), ("payé", False),
    ],
)  # fmt: skip
def test_a_name_that_may_be_a_value_is_not_shown(name: str, plain: bool) -> None:  # noqa: FBT001 - a row of the table
    assert is_plain(name) is plain
