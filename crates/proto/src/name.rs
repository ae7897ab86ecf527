//! The grammar of user names and room names, and the folded form in which user names are unique.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::codes::{Code, Refusal};
use crate::limits;

/// The name of a room: 1 to 200 bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// A name as clients may spell it, brought to NFC.
    ///
    /// It begins with a letter or digit of any script and goes on with these or `_-=@,.;:/~!+`, without `..`.
    /// Names are case-sensitive.
    ///
    /// # Errors
    /// `bad_name` with a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let rules = Rules { what: "a room name", limit: limits::ROOM_NAME, spaces: false };
        let name = rules.check(text)?;
        if name.contains("..") {
            return Err(bad_name("a room name may not hold \"..\"; use one dot"));
        }
        Ok(Self(name.into()))
    }

    /// A name that no client can spell, for the logs of direct messages (`$…`) and Socket.IO namespaces (`N#R`).
    /// Nothing is checked.
    pub fn internal(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a user as people see it: 1 to 64 bytes, cheap to clone. Compare users by id, names by [`fold`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

impl UserName {
    /// A name as people may choose it, brought to NFC: as a room's, and with single spaces inside.
    ///
    /// # Errors
    /// `bad_name` with a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let rules = Rules { what: "a name", limit: limits::USER_NAME, spaces: true };
        Ok(Self(rules.check(text)?.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which this name is unique; see [`fold`].
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// The form in which user names are compared: two names that look the same but for case, width or the way that
/// accents are written have one folded form (Unicode's compatibility caseless match, D146, in NFKC).
pub fn fold(name: &str) -> String {
    // Most names; the result is the same.
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let once = caseless::default_case_fold_str(&name.nfd().collect::<String>());
    let twice = caseless::default_case_fold_str(&once.nfkd().collect::<String>());
    twice.nfkc().collect()
}

/// What a kind of name may be.
struct Rules {
    /// The kind, with its article, as a sentence begins.
    what: &'static str,
    limit: usize,
    spaces: bool,
}

impl Rules {
    fn check<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Refusal> {
        let what = self.what;
        // Checked before normalising, which costs time; composing never makes a text three times shorter.
        if text.len() > self.limit * 3 {
            return Err(self.too_long(text.len()));
        }
        let name = match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => Cow::Borrowed(text),
            _ => Cow::Owned(text.nfc().collect()),
        };
        if name.len() > self.limit {
            return Err(self.too_long(name.len()));
        }
        let Some(first) = name.chars().next() else {
            return Err(bad_name(format!("{what} may not be empty")));
        };
        if first == '$' {
            return Err(bad_name(format!("{what} may not begin with $, which is reserved; leave it out")));
        }
        if !is_letter_or_digit(first) {
            return Err(bad_name(format!(
                "{what} begins with a letter or a digit, not with {}",
                Shown(first)
            )));
        }
        let mut previous = first;
        for next in name.chars().skip(1) {
            self.check_pair(previous, next)?;
            previous = next;
        }
        if previous == ' ' {
            return Err(bad_name(format!("{what} may not end with a space; leave it out")));
        }
        Ok(name)
    }

    fn check_pair(&self, previous: char, next: char) -> Result<(), Refusal> {
        let what = self.what;
        if is_letter_or_digit(next) || PUNCTUATION.contains(next) {
            return Ok(());
        }
        if next == ' ' && self.spaces {
            return match previous {
                ' ' => Err(bad_name(format!("{what} may hold single spaces only; leave out the others"))),
                _ => Ok(()),
            };
        }
        // Vowel signs and accents belong to the letter before them; alone they have no place.
        if is_mark(next) {
            return match is_letter_or_digit(previous) || is_mark(previous) {
                true => Ok(()),
                false => Err(bad_name(format!("{what} holds an accent ({}) without a letter", Shown(next)))),
            };
        }
        let space = if self.spaces { "single spaces and " } else { "" };
        Err(bad_name(format!(
            "{what} may hold letters, digits, {space}{PUNCTUATION} but not {}",
            Shown(next)
        )))
    }

    fn too_long(&self, length: usize) -> Refusal {
        bad_name(format!("{} may be {} bytes long, this is {length}; shorten it", self.what, self.limit))
    }
}

/// What may follow the first character beside letters, digits and marks.
const PUNCTUATION: &str = "_-=@,.;:/~!+";

/// Letters, decimal digits and letter numbers: the last because 〇 is one, and people are called that.
fn is_letter_or_digit(c: char) -> bool {
    use GeneralCategory::*;
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let category = c.general_category();
    let fits = matches!(
        category,
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | DecimalNumber
            | LetterNumber
    );
    fits && !is_invisible(c)
}

/// Marks that words of many scripts are made of. Enclosing marks are decoration and stay out.
fn is_mark(c: char) -> bool {
    use GeneralCategory::*;
    matches!(c.general_category(), NonspacingMark | SpacingMark) && !is_invisible(c)
}

/// Code points that show nothing (Unicode's Default_Ignorable_Code_Point): some of them count as letters or marks,
/// and a name that holds one looks like a name that does not.
fn is_invisible(c: char) -> bool {
    matches!(c as u32,
        0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFF8
        | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

/// A refused character as a sentence can hold it: itself if it shows, its number always.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0 as u32;
        match self.0 {
            ' ' => f.write_str("a space"),
            c if c.is_ascii_graphic() => write!(f, "{c}"),
            _ => write!(f, "U+{number:04X}"),
        }
    }
}

fn bad_name(sentence: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::BadName, sentence)
}

macro_rules! text_traits {
    ($name:ident) => {
        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        // Sound because equality, order and hash are those of the text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text_traits!(RoomName);
text_traits!(UserName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rooms_of_any_script_are_welcome() {
        let long = "a".repeat(200);
        for name in [
            "lobby",
            "0",
            "recent:news",
            "a_-=@,.;:/~!+z",
            "大厅",
            "二〇二六",
            "हिन्दी",
            "العَرَبِيَّة",
            "ภาษาไทยที่นี่",
            "Ελληνικά",
            "한국어",
            "Tiếng-Việt",
            &long,
        ] {
            assert_eq!(RoomName::parse(name).as_deref(), Ok(name));
        }
    }

    #[test]
    fn a_refused_name_is_told_what_is_wrong() {
        let long = "é".repeat(101);
        for (name, sentence) in [
            ("", "a room name may not be empty"),
            ("$dm", "a room name may not begin with $, which is reserved; leave it out"),
            (".a", "a room name begins with a letter or a digit, not with ."),
            (" a", "a room name begins with a letter or a digit, not with a space"),
            ("a..b", "a room name may not hold \"..\"; use one dot"),
            ("a b", "a room name may hold letters, digits, _-=@,.;:/~!+ but not a space"),
            ("a#b", "a room name may hold letters, digits, _-=@,.;:/~!+ but not #"),
            ("a\nb", "a room name may hold letters, digits, _-=@,.;:/~!+ but not U+000A"),
            ("a\u{202E}b", "a room name may hold letters, digits, _-=@,.;:/~!+ but not U+202E"),
            ("a\u{200D}b", "a room name may hold letters, digits, _-=@,.;:/~!+ but not U+200D"),
            ("a\u{3164}b", "a room name may hold letters, digits, _-=@,.;:/~!+ but not U+3164"),
            ("a\u{FE0F}", "a room name may hold letters, digits, _-=@,.;:/~!+ but not U+FE0F"),
            ("a.\u{301}", "a room name holds an accent (U+0301) without a letter"),
            ("\u{301}a", "a room name begins with a letter or a digit, not with U+0301"),
            ("😀", "a room name begins with a letter or a digit, not with U+1F600"),
            (&long, "a room name may be 200 bytes long, this is 202; shorten it"),
        ] {
            let refusal = RoomName::parse(name).unwrap_err();
            assert_eq!((refusal.code, &*refusal.message), (Code::BadName, sentence), "{name:?}");
        }
    }

    #[test]
    fn user_names_hold_single_spaces_inside() {
        assert_eq!(UserName::parse("Ann van Dyck").as_deref(), Ok("Ann van Dyck"));
        assert_eq!(UserName::parse("a..b").as_deref(), Ok("a..b"));
        for name in ["Ann  Dyck", "Ann ", " Ann", "Ann\u{A0}Dyck", "Ann\tDyck", "$ann", &"x".repeat(65)] {
            assert!(UserName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_are_kept_composed() {
        assert_eq!(UserName::parse("Jose\u{301}").as_deref(), Ok("José"));
        assert_eq!(RoomName::parse("Jose\u{301}").as_deref(), Ok("José"));
    }

    #[test]
    fn names_that_look_alike_fold_together() {
        for (one, other) in [
            ("Ann", "aNN"),
            ("STRASSE", "straße"),
            ("Ａｎｎ", "ann"),
            ("José", "JOSE\u{301}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ﬁne", "FINE"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("ann"), fold("anna"));
        assert_ne!(fold("o"), fold("ö"));
    }

    #[test]
    fn a_map_of_rooms_is_asked_with_text() {
        let rooms = std::collections::HashMap::from([(RoomName::internal("$dm:1"), 7)]);
        assert_eq!(rooms.get("$dm:1"), Some(&7));
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_accepted_again_unchanged(text in "\\PC{0,70}|[\\p{L}\\p{M}\\p{N}_. -]{0,30}") {
            if let Ok(name) = UserName::parse(&text) {
                prop_assert_eq!(UserName::parse(&name), Ok(name.clone()));
                prop_assert!(name.len() <= limits::USER_NAME);
                prop_assert!(!name.chars().any(|c| c.is_control()));
            }
            if let Ok(name) = RoomName::parse(&text) {
                prop_assert_eq!(RoomName::parse(&name), Ok(name));
            }
        }

        #[test]
        fn folding_twice_is_folding_once(text in any::<String>()) {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }

        #[test]
        fn case_never_tells_names_apart(text in "[\\p{Latin}\\p{Greek}\\p{Cyrillic}]{0,20}") {
            prop_assert_eq!(fold(&text), fold(&fold(&text).to_lowercase()));
        }
    }
}
