//! How long a character is, where a byte of it could be taken for a quote or a backslash.

use super::Charset;

impl Charset {
    /// Whether no byte of a long character is an ASCII quote or backslash, so that a quoted text may be
    /// searched byte by byte.
    pub(super) const fn is_ascii_safe(self) -> bool {
        matches!(self, Self::Utf8 | Self::Single | Self::Euc)
    }

    /// The length of the character that begins with the high byte at the start of `text`; `None` where
    /// there is none that is well formed. Servers differ in how they go on from there.
    pub(super) fn length(self, text: &[u8]) -> Option<usize> {
        let at = |index: usize| text.get(index).copied().unwrap_or(0);
        let (first, second) = (at(0), at(1));
        let long_trail = matches!(second, 0x40..=0x7e | 0x80..=0xfe);
        match self {
            Self::Single | Self::Euc => Some(1),
            Self::Utf8 => utf8(text),
            Self::Big5 => {
                (matches!(first, 0xa1..=0xf9) && matches!(second, 0x40..=0x7e | 0xa1..=0xfe)).then_some(2)
            }
            Self::Gbk => (matches!(first, 0x81..=0xfe) && long_trail).then_some(2),
            Self::Gb18030 => match (first, second) {
                (0x81..=0xfe, 0x30..=0x39) => {
                    (matches!(at(2), 0x81..=0xfe) && matches!(at(3), 0x30..=0x39)).then_some(4)
                }
                (0x81..=0xfe, _) if long_trail => Some(2),
                _ => None,
            },
            Self::Sjis => match (first, second) {
                (0xa1..=0xdf, _) => Some(1),
                (0x81..=0x9f | 0xe0..=0xfc, 0x40..=0x7e | 0x80..=0xfc) => Some(2),
                _ => None,
            },
        }
    }
}

/// The length of the UTF-8 character at the start of `text`.
fn utf8(text: &[u8]) -> Option<usize> {
    let length = match text.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    std::str::from_utf8(text.get(..length)?).ok().map(|_| length)
}
