//! The page's texts in its three languages.
//!
//! A locale file is lines of `key = text`; `#` begins a comment; `{name}` is a place for a value. All three files have
//! the same keys and the same places, which `tests/pure/locales.rs` checks.

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Persian, from right to left.
    Persian,
    /// Chinese, simplified.
    Chinese,
}

impl Language {
    /// Every language, in the order of the switch.
    pub const ALL: [Self; 3] = [Self::English, Self::Persian, Self::Chinese];

    /// The tag for `<html lang>`, links and storage.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Persian => "fa",
            Self::Chinese => "zh",
        }
    }

    /// Its own name for itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Persian => "فارسی",
            Self::Chinese => "中文",
        }
    }

    /// The direction of its lines, for `<html dir>`.
    #[must_use]
    pub const fn direction(self) -> &'static str {
        if matches!(self, Self::Persian) { "rtl" } else { "ltr" }
    }

    /// Where the locale file is, beside the page.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::English => "locales/en.txt",
            Self::Persian => "locales/fa.txt",
            Self::Chinese => "locales/zh.txt",
        }
    }

    /// Where the page's contents in this language are, beside it.
    #[must_use]
    pub const fn contents(self) -> &'static str {
        match self {
            Self::English => "contents/en.html",
            Self::Persian => "contents/fa.html",
            Self::Chinese => "contents/zh.html",
        }
    }

    /// What is said when the locale file cannot be had: the one text that is built in.
    #[must_use]
    pub const fn without_file(self) -> &'static str {
        match self {
            Self::English => "The texts of this page could not be fetched. Load the page again when you are online.",
            Self::Persian => "متن‌های این صفحه دریافت نشد. وقتی به اینترنت وصل بودید صفحه را دوباره بار کنید.",
            Self::Chinese => "无法取得本页的文字。请在联网后重新加载页面。",
        }
    }

    /// The first of these tags that names a language of the page; regions and scripts are ignored.
    #[must_use]
    pub fn choose<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        tags.into_iter().find_map(|tag| {
            let primary = tag.split(['-', '_']).next().unwrap_or(tag);
            Self::ALL.into_iter().find(|l| primary.eq_ignore_ascii_case(l.tag()))
        })
    }

    /// The text with the digits of its numbers in the script of the language. Names such as `int8` or `DPM-Solver++(2M)`
    /// keep theirs: what stands without a space beside a Latin letter, but for the `e` of `1.5e-6`.
    #[must_use]
    pub fn digits(self, text: &str) -> String {
        if self != Self::Persian {
            return text.to_owned();
        }
        let mut found = String::with_capacity(text.len());
        for word in text.split_inclusive(char::is_whitespace) {
            let bytes = word.as_bytes();
            let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
            let letters = word.char_indices().filter(|(_, c)| c.is_ascii_alphabetic());
            let power = |(at, c): (usize, char)| c == 'e' && digit(at.checked_sub(1));
            if letters.clone().count() > 0 && !letters.clone().all(power) {
                found.push_str(word);
                continue;
            }
            found.extend(word.char_indices().map(|(at, c)| match c.to_digit(10) {
                Some(digit) => char::from_u32('۰' as u32 + digit).unwrap_or(c),
                // The point of a number, not the end of a sentence.
                None if c == '.' && digit(at.checked_sub(1)) && digit(Some(at + 1)) => '٫',
                None => c,
            }));
        }
        found
    }

    /// What stands between the items of a list.
    #[must_use]
    pub fn comma(self) -> &'static str {
        match self {
            Self::English => ", ",
            Self::Persian => "، ",
            Self::Chinese => "、",
        }
    }
}

/// The texts of one language.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    entries: Vec<(&'static str, &'static str)>,
    awaited: bool,
}

impl Texts {
    /// The texts of a locale file.
    #[must_use]
    pub fn read(file: &'static str) -> Self {
        Self { entries: entries(file).collect(), awaited: false }
    }

    /// No texts yet: every one is an ellipsis until the file is there.
    #[must_use]
    pub const fn awaited() -> Self {
        Self { entries: Vec::new(), awaited: true }
    }

    /// Whether these are no texts yet.
    #[must_use]
    pub const fn are_awaited(&self) -> bool {
        self.awaited
    }

    /// The text with this key; without one the key itself, so that nothing is silently empty.
    #[must_use]
    pub fn get<'a>(&'a self, key: &'a str) -> &'a str {
        if self.awaited {
            return "…";
        }
        // A few hundred short comparisons: sorting would cost the page more code than it saves time.
        self.entries.iter().find(|(known, _)| *known == key).map_or(key, |(_, text)| text)
    }
}

/// The end of every text that the page fetches, written by the build: what was cut short on the way, or is another's page, lacks
/// it.
pub const WHOLE: &str = "<!-- whole -->";

/// The lines of a locale file.
pub fn entries(file: &str) -> impl Iterator<Item = (&str, &str)> {
    file.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, text)| (key.trim(), text.trim()))
}

/// `text` with every `{name}` replaced by its value.
#[must_use]
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = after.find('}') else {
            rest = after;
            break;
        };
        let name = &after[1..end];
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&after[..=end]),
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_unknown_ones_left_alone() {
        assert_eq!(fill("{a} of {b}, {c}", &[("b", "9"), ("a", "{b}")]), "{b} of 9, {c}");
        assert_eq!(fill("open {a", &[("a", "1")]), "open {a");
    }

    #[test]
    fn a_text_that_is_not_there_is_its_key_and_one_that_is_still_to_come_an_ellipsis() {
        let texts = Texts::read("b = 2 = two\n# c = 3\n a=1");
        assert_eq!(["a", "b", "c"].map(|key| texts.get(key)), ["1", "2 = two", "c"]);
        assert_eq!(Texts::awaited().get("a"), "…");
        assert_eq!(Texts::default().get("a"), "a");
    }

    #[test]
    fn the_language_is_the_first_wish_that_is_spoken() {
        assert_eq!(Language::choose(["de-AT", "fa-IR", "en"]), Some(Language::Persian));
        assert_eq!(Language::choose(["zh_Hant", "en"]), Some(Language::Chinese));
        assert_eq!(Language::choose(["", "x"]), None);
    }

    #[test]
    fn persian_numbers_have_persian_digits() {
        assert_eq!(Language::Persian.digits("KL 0.25"), "KL ۰٫۲۵");
        assert_eq!(Language::Persian.digits("است. 3 و 4."), "است. ۳ و ۴.");
        assert_eq!(Language::Chinese.digits("0.25"), "0.25");
    }
}
