"""What stands in chats and is no typing: links, addresses, mentions, and a program's own messages.

A keyboard should not learn to suggest them, and they name people. The rule:

- a message that is a program's placeholder alone (`PLACEHOLDERS`, in any case, with or without
  brackets around it) is dropped: "<Media omitted>", "[deleted]", "This message was deleted";
- of other messages web addresses (https://..., www....), e-mail addresses, @mentions and the
  mentions and emoji of Slack and Discord (<@U123>, <:smile:123>) are taken out, and the rest stays.
"""

import re

PLACEHOLDERS = frozenset(
    """
    media omitted|image omitted|video omitted|audio omitted|sticker omitted|gif omitted
    document omitted|contact card omitted|medien ausgeschlossen|bild weggelassen|video weggelassen
    audio weggelassen|sticker weggelassen|multimedia omitido|imagen omitida|video omitido
    médias omis|image absente|média omis|media omessi|mídia oculta|медиафайлы опущены
    deleted|removed|message deleted|this message was deleted|you deleted this message
    diese nachricht wurde gelöscht|eliminaste este mensaje|se eliminó este mensaje
    ce message a été supprimé|null
    """.replace("\n", "|")
    .replace("    ", "")
    .strip("|")
    .split("|")
)
_BRACKETS = "<>[]().\u200e\u200f \t\r\n"
_LINKS = re.compile(
    r"""
    (?:https?|ftp)://\S+ | \bwww\.[^\s/]+\.\S+
    | <(?:[@\#!][!&]?[\w|.-]+|a?:\w+:\d+)>
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | (?<![\w@])@\w[\w.-]*
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_placeholder(text: str) -> bool:
    """Whether a message is a program's and not its sender's."""
    return len(text) < 60 and text.strip(_BRACKETS).casefold() in PLACEHOLDERS


def without_links(text: str) -> str:
    """Returns a message without addresses and mentions; the same text if it has none."""
    if not any(sign in text for sign in ("@", "://", "www.", "WWW.", "Www.", "<")):
        return text
    cleaned = _LINKS.sub(" ", text)
    return text if cleaned == text else " ".join(cleaned.split())
