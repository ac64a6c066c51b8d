//! Classes of images: the names that weights have for them, and which of them a run asks for.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names of CIFAR-10's classes, in the order of its labels (Krizhevsky 2009).
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names of Fashion-MNIST's classes, in the order of its labels (Xiao, Rasul and Vollgraf 2017), in a word each.
pub const FASHION_MNIST: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];

/// Longest name of a class, in characters.
const LONGEST: usize = 100;
/// Most names in a message.
const MOST_NAMED: usize = 20;
/// The word for no class.
const ANY: &str = "any";
/// The word for one class after the other.
const EACH: &str = "each";

/// Names of the classes of weights that say none: CIFAR-10's for ten, numbers otherwise.
#[must_use]
pub fn usual_names(classes: usize) -> Vec<String> {
    if classes == CIFAR10.len() {
        return CIFAR10.map(str::to_owned).to_vec();
    }
    (0..classes).map(|class| format!("class {class}")).collect()
}

/// Whether a run can ask for each of these classes by its name: none is empty, too long, there twice, or a word for
/// something else.
///
/// # Errors
/// What is wrong, to be put after a subject such as "the manifest has".
pub fn check_names(names: &[String]) -> Result<(), String> {
    for (place, name) in names.iter().enumerate() {
        let wrong = match ClassChoice::from_text(name) {
            ClassChoice::Named(kept) if kept != name.trim() => "with signs that have no place in one, or too long",
            ClassChoice::Named(kept) if names[..place].iter().any(|other| other.trim() == kept) => "twice",
            ClassChoice::Named(_) => continue,
            _ if name.trim().is_empty() => "without a sign",
            _ => "that is the word for something else",
        };
        return Err(format!("a class named {name:?} {wrong}"));
    }
    Ok(())
}

/// The class of the images of a run. As a text it is `any`, `each`, or a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ClassChoice {
    /// None: the network is not told any.
    #[default]
    Any,
    /// One after the other.
    Each,
    /// The class of this name, which the weights have or have not.
    Named(String),
}

impl ClassChoice {
    /// The choice that a text is. What has no place in a name is left out, and no text is no class.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        // Neither control characters nor what turns the direction of a line.
        let turns = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let kept: String = text.trim().chars().filter(|c| !c.is_control() && !turns(c)).take(LONGEST).collect();
        match kept.trim() {
            "" | ANY => Self::Any,
            EACH => Self::Each,
            name => Self::Named(name.to_owned()),
        }
    }

    /// The choice as it stands in a link, a file or a menu.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Any => ANY,
            Self::Each => EACH,
            Self::Named(name) => name,
        }
    }
}

impl From<String> for ClassChoice {
    fn from(text: String) -> Self {
        Self::from_text(&text)
    }
}

impl From<ClassChoice> for String {
    fn from(choice: ClassChoice) -> Self {
        choice.text().to_owned()
    }
}

/// Why weights cannot draw the class that a run asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClassError {
    /// They have no class of this name.
    #[error("these weights have no class {wanted:?}: theirs are {known}")]
    Unknown {
        /// The name.
        wanted: String,
        /// Names of their classes.
        known: String,
    },
    /// They have no classes at all.
    #[error("these weights have no classes, so no {wanted:?} either: with image-class=any they draw what they know")]
    None {
        /// The name.
        wanted: String,
    },
    /// Their table of classes has no row for none.
    #[error(
        "these weights were never trained without a class and draw nothing without one: image-class is each, or one of \
         {known}"
    )]
    Required {
        /// Names of their classes.
        known: String,
    },
    /// Guidance needs the network without a class too.
    #[error(
        "these weights were never trained without a class, which guidance would lead away from: with them guidance is 1"
    )]
    Guidance,
}

/// The classes that weights have.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    /// Their names, in the order of the network's table; none without classes.
    pub names: &'a [String],
    /// Whether the network always wants one: its table has no row for none.
    pub required: bool,
}

impl Classes<'_> {
    /// The numbers of the classes of so many images from number `first` on: one for each, or none at all where the network
    /// is told nothing. `guidance` is the scale of classifier-free guidance.
    ///
    /// # Errors
    /// A [`ClassError`] when the weights cannot draw what is asked for.
    pub fn labels(
        self,
        choice: &ClassChoice,
        guidance: f64,
        first: usize,
        images: usize,
    ) -> Result<Vec<Option<usize>>, ClassError> {
        let labels = match choice {
            ClassChoice::Any if self.required => return Err(ClassError::Required { known: self.listed() }),
            ClassChoice::Any => Vec::new(),
            ClassChoice::Each => match self.names.len() {
                0 => Vec::new(),
                classes => (first..first + images).map(|image| Some(image % classes)).collect(),
            },
            ClassChoice::Named(name) => vec![Some(self.place(name)?); images],
        };
        if self.required && guidance != 1.0 {
            return Err(ClassError::Guidance);
        }
        Ok(labels)
    }

    fn place(self, wanted: &str) -> Result<usize, ClassError> {
        let place = self.names.iter().position(|name| name.trim() == wanted);
        let wanted = wanted.to_owned();
        match place {
            Some(place) => Ok(place),
            None if self.names.is_empty() => Err(ClassError::None { wanted }),
            None => Err(ClassError::Unknown { wanted, known: self.listed() }),
        }
    }

    /// The names with commas between them, the first of very many.
    fn listed(self) -> String {
        let named = &self.names[..self.names.len().min(MOST_NAMED)];
        let others = self.names.len() - named.len();
        let others = if others > 0 { format!(" and {others} others") } else { String::new() };
        named.join(", ") + &others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_choice_is_its_text_and_comes_back_from_it() {
        for (text, choice) in [("any", ClassChoice::Any), ("", ClassChoice::Any), ("each", ClassChoice::Each)] {
            assert_eq!(ClassChoice::from_text(text), choice);
        }
        for name in ["cat", "class 3", "great white shark, Carcharodon", "گربه", "Any", "0"] {
            assert_eq!(ClassChoice::from_text(name), ClassChoice::Named(name.to_owned()));
            assert_eq!(ClassChoice::from_text(name).text(), name);
        }
        assert_eq!(ClassChoice::from_text(" c\u{0}a\u{202e}t\n").text(), "cat");
        assert_eq!(ClassChoice::from_text(&"a".repeat(1000)).text().len(), LONGEST);
        let json = serde_json::to_string(&ClassChoice::Named("cat".into())).expect("a text");
        assert_eq!(
            (json.as_str(), serde_json::from_str(&json).ok()),
            ("\"cat\"", Some(ClassChoice::Named("cat".into())))
        );
    }

    #[test]
    fn names_are_asked_for_by_themselves_and_by_nothing_else() {
        let own = names(&["cat", "dog"]);
        let classes = Classes { names: &own, required: false };
        let labels = |choice: &str| classes.labels(&ClassChoice::from_text(choice), 1.0, 0, 3);
        assert_eq!(labels("cat"), Ok(vec![Some(0); 3]));
        assert_eq!(labels("dog"), Ok(vec![Some(1); 3]));
        assert_eq!(labels("any"), Ok(vec![]));
        assert_eq!(labels("each"), Ok(vec![Some(0), Some(1), Some(0)]));
        for other in ["airplane", "Cat", "ca", "0"] {
            let words = labels(other).expect_err(other).to_string();
            assert!(words.contains(other) && words.contains("cat, dog"), "{words}");
        }
        let none = Classes { names: &[], required: false };
        assert_eq!(none.labels(&ClassChoice::Each, 3.0, 0, 2), Ok(vec![]));
        let refused = none.labels(&ClassChoice::Named("cat".into()), 1.0, 0, 2);
        assert_eq!(refused, Err(ClassError::None { wanted: "cat".into() }));
    }

    #[test]
    fn classes_in_turn_go_on_where_the_part_before_ended() {
        let own = names(&["a", "b", "c"]);
        let classes = Classes { names: &own, required: false };
        let part = |first, count| classes.labels(&ClassChoice::Each, 1.0, first, count).expect("labels");
        assert_eq!([part(0, 4), part(4, 3)].concat(), part(0, 7));
    }

    #[test]
    fn without_a_row_for_none_there_is_neither_no_class_nor_guidance() {
        let own = names(&["a", "b"]);
        let classes = Classes { names: &own, required: true };
        let words = classes.labels(&ClassChoice::Any, 1.0, 0, 1).expect_err("no row for none").to_string();
        assert!(words.contains("a, b"), "{words}");
        for guidance in [0.0, 2.0] {
            let refused = classes.labels(&ClassChoice::Named("a".into()), guidance, 0, 1);
            assert_eq!(refused, Err(ClassError::Guidance));
        }
        assert_eq!(classes.labels(&ClassChoice::Named("b".into()), 1.0, 0, 1), Ok(vec![Some(1)]));
    }

    #[test]
    fn names_that_no_run_could_ask_for_are_found() {
        assert_eq!(check_names(&usual_names(10)), Ok(()));
        assert_eq!(check_names(&usual_names(1000)), Ok(()));
        assert_eq!(usual_names(10), CIFAR10);
        assert_eq!(usual_names(2), ["class 0", "class 1"]);
        for (wrong, words) in [
            (["cat", "cat"], "twice"),
            (["cat", " cat "], "twice"),
            (["cat", " "], "without a sign"),
            (["each", "cat"], "something else"),
            (["cat", "any"], "something else"),
            (["cat", "d\u{202e}og"], "no place"),
        ] {
            let found = check_names(&names(&wrong)).expect_err(words);
            assert!(found.contains(words), "{found}");
        }
        assert!(check_names(&["x".repeat(LONGEST + 1)]).is_err());
    }

    #[test]
    fn of_very_many_names_the_first_are_told() {
        let many = usual_names(1000);
        let classes = Classes { names: &many, required: false };
        let words = classes.labels(&ClassChoice::Named("cat".into()), 1.0, 0, 1).expect_err("no cat").to_string();
        assert!(words.ends_with("class 19 and 980 others"), "{words}");
    }
}
