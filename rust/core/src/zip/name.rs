//! Names of members: text from bytes, and which names are refused.

use std::borrow::Cow;

use crate::error::{Code, Error};

/// The upper half of code page 437, the encoding of a name that does not say it is UTF-8 (APPNOTE appendix D.1).
const CP437_UPPER: [&str; 4] = [
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ",
    "áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
];

/// How the bytes of a name become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Valid UTF-8, flagged as such or not: many writers forget the flag.
    Utf8,
    /// Flagged as UTF-8, but invalid; shown with replacement characters, never delivered.
    BrokenUtf8,
    /// Not flagged and not valid UTF-8.
    Cp437,
}

impl Encoding {
    pub(super) fn of(name: &[u8], flagged_utf8: bool) -> Self {
        match (str::from_utf8(name).is_ok(), flagged_utf8) {
            (true, _) => Self::Utf8,
            (false, true) => Self::BrokenUtf8,
            (false, false) => Self::Cp437,
        }
    }

    /// The name as text; the same bytes give the same text always.
    pub(super) fn decode(self, name: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Utf8 | Self::BrokenUtf8 => String::from_utf8_lossy(name),
            Self::Cp437 => Cow::Owned(name.iter().copied().map(from_cp437).collect()),
        }
    }
}

fn from_cp437(byte: u8) -> char {
    if byte.is_ascii() {
        return char::from(byte);
    }
    let (row, column) = (usize::from(byte - 128) / 32, usize::from(byte) % 32);
    CP437_UPPER[row].chars().nth(column).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What is wrong with a name, or `None` for one that may be a key and a relative path (APPNOTE 4.4.17.1).
///
/// `name` is in any encoding: every byte looked for is ASCII. Control characters other than NUL pass; whoever shows a
/// name escapes them.
pub(super) fn fault(name: &[u8], encoding: Encoding) -> Option<Error> {
    if name.is_empty() {
        return Some(Error::new(Code::Name, "the name is empty"));
    }
    if encoding == Encoding::BrokenUtf8 {
        return Some(Error::new(Code::Name, "the name is flagged as UTF-8 and is not"));
    }
    if memchr::memchr(0, name).is_some() {
        return Some(Error::new(Code::Name, "the name contains a NUL"));
    }
    let unsafe_part = if name[0] == b'/' {
        "begins with a slash"
    } else if memchr::memchr(b'\\', name).is_some() {
        "contains a backslash"
    } else if name[0].is_ascii_alphabetic() && name.get(1) == Some(&b':') {
        "begins with a drive letter"
    } else if climbs(name) {
        "contains \"..\" as a folder"
    } else {
        return None;
    };
    Some(Error::new(Code::UnsafeName, format!("the name {unsafe_part}")))
}

/// Whether a component is `..`, plain or percent-encoded: a name may become part of an address.
fn climbs(name: &[u8]) -> bool {
    let is_separator = |&byte: &u8| byte == b'/' || byte == b'\\';
    if memchr::memchr(b'%', name).is_none() {
        return memchr::memmem::find(name, b"..").is_some() && name.split(is_separator).any(|part| part == b"..");
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = if byte == b'%' { tail.first_chunk() } else { None };
        let plain = match escape.map(|digits: &[u8; 2]| digits.to_ascii_lowercase()) {
            Some(digits) if digits == *b"2e" => Some(b'.'),
            Some(digits) if digits == *b"2f" => Some(b'/'),
            Some(digits) if digits == *b"5c" => Some(b'\\'),
            _ => None,
        };
        decoded.push(plain.unwrap_or(byte));
        rest = if plain.is_some() { &tail[2..] } else { tail };
    }
    decoded.split(is_separator).any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cp437_is_lossless_text() {
        assert_eq!(Encoding::Cp437.decode(b"caf\x82 \xe1\xfe\xff"), "caf\u{e9} \u{df}\u{25a0}\u{a0}");
        let all: Vec<u8> = (0..=255).collect();
        let text = Encoding::Cp437.decode(&all);
        let distinct: std::collections::HashSet<char> = text.chars().collect();
        assert_eq!(distinct.len(), 256);
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(Encoding::of("\u{e9}".as_bytes(), false), Encoding::Utf8);
        assert_eq!(Encoding::of(b"\x82", false), Encoding::Cp437);
        assert_eq!(Encoding::of(b"\x82", true), Encoding::BrokenUtf8);
        // A lone surrogate is not UTF-8.
        assert_eq!(Encoding::of(b"\xed\xa0\x80", true), Encoding::BrokenUtf8);
    }

    #[test]
    fn unsafe_names_are_refused() {
        let code = |name: &[u8]| fault(name, Encoding::Utf8).map(|error| error.code());
        for name in [
            "../x",
            "/x",
            "/",
            "C:\\x",
            "c:x",
            "a\\..\\..\\x",
            "a/../../x",
            "..",
            "a/..",
            "..%2fx",
            "%2E%2e/x",
            "a%5C..%5cx",
            "\\\\host\\x",
        ] {
            assert_eq!(code(name.as_bytes()), Some(Code::UnsafeName), "{name}");
        }
        for name in ["", "a\0b.jpg", "\0"] {
            assert_eq!(code(name.as_bytes()), Some(Code::Name), "{name:?}");
        }
        for name in [
            "a",
            "a/",
            "...",
            "..a",
            "a../b",
            "a/.../b",
            "a%2fb",
            "100%",
            "%2",
            "a b\n\u{1b}[0m\u{202e}.jpg",
            "\u{e9}:x",
        ] {
            assert_eq!(code(name.as_bytes()), None, "{name:?}");
        }
    }
}
