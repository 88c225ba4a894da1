import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data import links
from fedkeyboard.data.cleaning import (
    BEYOND,
    LEFT_OUT,
    LINKS,
    OF_USERS,
    ONE_WORD,
    PLACEHOLDER,
    REPEAT,
    SHORT,
    UNSPACED,
    Cleaning,
    Sentence,
    clean,
)
from fedkeyboard.text.words import words

ALL = Cleaning(minimum_sentences=1)

# Few words, so that repeats are likely, in several spellings, with what is no word between them.
WORD = st.sampled_from(["yes", "Yes", "YES!", "no", "don't", "don’t", "?", "10", "🙂", "\n"])
CHAT = st.lists(WORD, max_size=4).map(" ".join)
MESSAGES = st.lists(st.tuples(st.none() | st.floats(0, 1e10), CHAT | st.text()), max_size=30)
SETTINGS = st.builds(
    lambda minimum, more, words: Cleaning(minimum, minimum + more, words),
    st.integers(1, 6),
    st.integers(0, 6),
    st.integers(1, 3),
)


def kept(*texts, cleaning=ALL):
    return [each.text for each in clean([(None, text) for text in texts], cleaning).sentences]


def test_what_is_dropped():
    assert kept("Hello", "how are you?", "!!!", "") == ["how are you?"]
    assert kept("no no NO", "ha ha", "haha haha ha") == ["haha haha ha"]
    assert kept("call me", "Call me!", "call ME", "call her") == ["call me", "call her"]


def test_only_the_message_just_before_makes_a_repeat():
    assert kept("call me", "ok", "call me") == ["call me", "ok", "call me"][::2]
    assert kept("call me", "call her", "call me") == ["call me", "call her", "call me"]


def test_one_word_can_be_enough():
    one = Cleaning(minimum_sentences=1, minimum_words=1)
    assert kept("yes", "yes yes", "?", "no", cleaning=one) == ["yes", "no"]


def test_the_first_sentences_are_kept_and_the_others_counted():
    messages = [(float(i), f"number {i}") for i in range(100)]
    cleaned = clean(messages, Cleaning(1, 3, 2))
    assert cleaned.sentences == [Sentence(float(i), f"number {i}", 2) for i in range(3)]
    assert cleaned.counts == {BEYOND: 97}


def test_each_message_that_is_left_out_is_counted_once():
    texts = ["hi", "ha ha", "see you", "see you!", "<Media omitted>", "你好你好你好", "call me now"]
    cleaned = clean([(None, text) for text in texts], ALL)
    assert len(cleaned.sentences) == 2
    expected = {SHORT: 2, ONE_WORD: 1, REPEAT: 1, PLACEHOLDER: 1, UNSPACED: 1}
    assert cleaned.counts == expected
    few = clean([(None, text) for text in texts], Cleaning(minimum_sentences=3))
    assert few.sentences == [] and few.counts == expected | {OF_USERS: 2}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("look at https://example.org/a?b=c#d now", "look at now"),
        ("www.example.org/x is good", "is good"),
        ("WWW.EXAMPLE.ORG is good", "is good"),
        ("write to anna.b+c@mail.example.org please", "write to please"),
        ("hey @anna_b how are you", "hey how are you"),
        ("<@U123ABC> and <#C42|general> see this", "and see this"),
        ("that is <:smile:123456> good", "that is good"),
    ],
)
def test_links_addresses_and_mentions_are_taken_out(text, left):
    cleaned = clean([(None, text)], ALL)
    assert [each.text for each in cleaned.sentences] == [left]
    assert cleaned.counts == {LINKS: 1}
    as_it_is = clean([(None, text)], Cleaning(minimum_sentences=1, links=True))
    assert [each.text for each in as_it_is.sentences] == [text] and not as_it_is.counts


@pytest.mark.parametrize(
    "text", ["see you @ 5 then", "i <3 you", "a < b and b > c", "it cost 5.50 or so", "2@home"]
)
def test_what_only_looks_like_a_link_stays(text):
    assert links.without_links(text) == text


@pytest.mark.parametrize(
    "text", ["<Media omitted>", "\u200eimage omitted", "[deleted]", "[removed]", " Null ",
             "This message was deleted.", "<Medien ausgeschlossen>"]
)  # fmt: skip
def test_placeholders_are_dropped(text):
    assert links.is_placeholder(text)
    assert clean([(None, text)], ALL).counts == {PLACEHOLDER: 1}


def test_what_is_long_is_no_placeholder():
    """Nobody looks at all of a text of megabytes to know that it is none."""
    assert links.is_placeholder("<" + "null".ljust(57) + ">")
    assert not links.is_placeholder("<" + "null".ljust(58) + ">")


def test_a_user_with_too_few_is_left_out():
    texts = ["one two", "two three", "three four", "four"]
    assert kept(*texts, cleaning=Cleaning(minimum_sentences=3)) == texts[:3]
    assert kept(*texts, cleaning=Cleaning(minimum_sentences=4)) == []


def test_what_is_kept_by_default():
    """As docs/using.md has it: users with 5 sentences, of two words, and 500 of a user."""
    texts = [f"number {i}" for i in range(501)] + ["one"]
    assert kept(*texts[:4], cleaning=Cleaning()) == []
    assert kept("one", *texts[:5], cleaning=Cleaning()) == texts[:5]
    assert kept(*texts, cleaning=Cleaning()) == texts[:500]


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("你好你好你", False),  # Of so few letters it may be a word.
        ("你好你好你好", True),
        ("สวัสดีครับ", True),
        ("hellohellohello", False),  # It has letters of a script that writes spaces.
        ("!!!!!!!!", False),
    ],
)
def test_messages_without_spaces_are_counted(text, unspaced):
    expected = {SHORT: 1} | ({UNSPACED: 1} if unspaced else {})
    assert clean([(None, text)], ALL).counts == expected


@given(MESSAGES, SETTINGS)
def test_properties_of_what_is_kept(messages, cleaning):
    cleaning = dataclasses.replace(cleaning, links=True)
    sentences, counts = clean(messages, cleaning)
    assert len(messages) == len(sentences) + sum(counts[why] for why in LEFT_OUT)
    assert not sentences or (
        cleaning.minimum_sentences <= len(sentences) <= cleaning.maximum_sentences
    )
    rest = iter(messages)
    for sentence in sentences:
        assert (sentence.time, sentence.text) in rest  # In order, and as they were.
        assert sentence.words == len(words(sentence.text)) >= cleaning.minimum_words
        assert sentence.words == 1 or len(set(words(sentence.text))) > 1


@given(MESSAGES, SETTINGS)
def test_same_as_the_rules_one_after_the_other(messages, cleaning):
    said = [tuple(words(text)) for _, text in messages]
    usable = [
        message
        for message, now, before in zip(messages, said, [None, *said], strict=False)
        if len(now) >= cleaning.minimum_words
        and (len(now) == 1 or len(set(now)) > 1)
        and now != before
    ][: cleaning.maximum_sentences]
    expected = usable if len(usable) >= cleaning.minimum_sentences else []
    found = clean(messages, dataclasses.replace(cleaning, links=True)).sentences
    assert [sentence[:2] for sentence in found] == expected


@pytest.mark.parametrize("name", ["minimum_sentences", "maximum_sentences", "minimum_words"])
def test_impossible_settings(name, refuses):
    with refuses(name, "is 0", "1 or more"):
        Cleaning(**{name: 0})


def test_contradictory_settings(refuses):
    with refuses("maximum_sentences is 3", "minimum_sentences", "is 4"):
        Cleaning(minimum_sentences=4, maximum_sentences=3)
