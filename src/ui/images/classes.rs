//! The classes that the weights have: the menu of them, and what is said where a run cannot have what it asks for.

use crate::lab::images::OWN_WEIGHTS;
use crate::lab::{CIFAR10, ClassChoice, FASHION_MNIST, Field};
use crate::session::image_state::ImageWeights;
use crate::ui::element::{Element, element};
use crate::ui::parts::choice;
use crate::ui::signal::memo;
use crate::ui::state::{Page, page};

/// The classes of weights, as the page knows them.
#[derive(Default)]
struct Known {
    names: Vec<String>,
    required: bool,
}

/// Names of the classes of the weights at hand.
pub fn held(page: Page) -> Vec<String> {
    page.session.with_untracked(|session| match session.image_weights() {
        ImageWeights::Held(weights) => weights.classes.clone(),
        _ => Vec::new(),
    })
}

/// The classes of the weights that the configuration names: as the worker found them, or as their manifest says. `None`
/// while neither is there.
fn known(page: Page) -> Option<Known> {
    let shipped = |id: &str| {
        page.images.sets.with(|all| {
            // Without a name it is the first.
            let set = all.as_ref()?.iter().find(|set| id.is_empty() || set.id == id)?;
            Some((set.id.clone(), Known { names: set.classes.clone()?, required: set.class_required }))
        })
    };
    let named = page.config.with(|config| config.weights.as_str().to_owned());
    let shipped = if named == OWN_WEIGHTS { None } else { shipped(&named) };
    let held = page.session.with(|session| match session.image_weights() {
        ImageWeights::Held(weights) if shipped.as_ref().map_or(&named, |(id, _)| id) == &weights.id => {
            Some(Known { names: weights.classes.clone(), required: weights.class_required })
        }
        _ => None,
    });
    held.or(shipped.map(|(_, known)| known))
}

/// Whether the weights always want a class, so that there is nothing to guide away from.
pub fn are_required(page: Page) -> bool {
    known(page).is_some_and(|known| known.required)
}

/// What a class is called: those of CIFAR-10 and Fashion-MNIST in the language of the page.
pub fn name(page: Page, class: &str) -> String {
    match ClassChoice::from_text(class) {
        ClassChoice::Named(name) if !CIFAR10.iter().chain(&FASHION_MNIST).any(|known| *known == name) => name,
        _ => page.text(&format!("choice.image-class.{class}")),
    }
}

/// The menu, and what there is to say.
pub fn classes(field: &'static Field) -> [Element; 2] {
    let page = page();
    let key = field.key;
    // One text for all of them: names have no line breaks.
    let offered = memo(move || {
        let here = page.value(field);
        let known = known(page);
        let required = known.as_ref().is_some_and(|known| known.required);
        // While nothing is known of the weights, they may have some.
        let some = known.as_ref().is_none_or(|known| !known.names.is_empty());
        let words = [(!required, "any"), (some, "each")].into_iter().filter(|(there, _)| *there);
        let names = known.unwrap_or_default().names;
        let mut all: Vec<String> = words.map(|(_, word)| word.to_owned()).chain(names).collect();
        // What was asked for stays in sight, so that it can be said that it is not there.
        if !all.iter().any(|class| class.trim() == here) {
            all.push(here);
        }
        all.join("\n")
    });
    let option = move |class: &str| {
        let (shown, selected) = (class.to_owned(), class.to_owned());
        choice(class, move || page.value(field) == selected.trim(), move || name(page, &shown))
    };
    let said = move || {
        let Some(Known { names, required }) = known(page) else { return String::new() };
        let class = page.value(field);
        match ClassChoice::from_text(&class) {
            ClassChoice::Named(wanted) if !names.iter().any(|name| name.trim() == wanted) => {
                page.filled("images.class-absent", &[("class", &name(page, &class))])
            }
            ClassChoice::Each if names.is_empty() => page.text("images.no-classes"),
            _ if required => page.text("images.class-required"),
            _ => String::new(),
        }
    };
    let menu = element("select")
        .attribute("id", key)
        .test_id(key)
        .attribute("aria-describedby", &format!("{key}-help {key}-note"))
        .change(move |id| {
            let _ = page.write(key, &id);
        })
        .changing(move || offered.with(|offered| offered.split('\n').map(option).collect()));
    let note = element("p").class("note").attribute("id", &format!("{key}-note")).test_id("class-note");
    [menu, note.attribute("role", "status").words(said)]
}
