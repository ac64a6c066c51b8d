//! The controls of a run, one for every field that matters, in the groups of the experiment.

use leptos::prelude::*;
use web_sys::Event;

use super::bridge::remote::is_offered;
use super::element::{Element, element};
use super::images::{are_required, classes, known, picture_likelihood, solvers, weights};
use super::likelihood::likelihood;
use super::mixture::editor;
use super::pad::pad;
use super::parts::choice;
use super::state::{memo, page};
use crate::decimal::{fixed, real, shortest};
use crate::experiments::Experiment;
use crate::experiments::{Group, matters};
use crate::lab::{DeviceChoice, ExperimentId, Field, Kind, SpacingId, field};

/// Positions of a slider.
const NOTCHES: f64 = 1000.0;

/// Every group of the experiment.
pub fn controls() -> Element {
    let page = page();
    let experiment = memo(move || page.config.with(|c| c.experiment));
    let groups = move || {
        let now = experiment.get();
        let groups = Experiment::find(now).map_or(&[][..], |experiment| experiment.groups).iter().map(fields);
        groups.chain((now == ExperimentId::Images).then(solvers)).collect()
    };
    let form = element("form").class("controls").label("controls.label");
    form.on("submit", |event: Event| event.prevent_default()).changing(groups)
}

fn fields(group: &'static Group) -> Element {
    let page = page();
    let title = move || page.text(&format!("group.{}", group.id));
    let fields = group.fields.iter().filter_map(|key| field(key)).map(control);
    let fields: Vec<Element> = fields.collect();
    if !group.advanced {
        return element("fieldset").class("group").child(element("legend").words(title)).holds(&fields);
    }
    let inside = element("fieldset").child(element("legend").class("unseen").words(title)).holds(&fields);
    let inside = match group.id {
        "likelihood" => inside.holds(&likelihood()),
        "picture-likelihood" => inside.holds(&picture_likelihood()),
        _ => inside,
    };
    let group = element("details").class("group").holds(&[element("summary").words(title), inside]);
    // A chart that was folded away had no width to be painted at.
    group.on("toggle", move |_: Event| page.resized.update(|n| *n += 1))
}

/// One field with its label and its explanation, while it matters.
pub fn control(field: &'static Field) -> Element {
    let page = page();
    let key = field.key;
    // Networks that always want a class cannot be guided; what was set all the same can be set back.
    let unguided = move || {
        let images = page.config.with(|c| c.experiment == ExperimentId::Images && c.guidance == 1.0);
        key == "guidance" && images && are_required(page)
    };
    let shown = memo(move || page.config.with(|config| matters(key, config)) && page.shows(key) && !unguided());
    let made = move || {
        let label = move || page.text(&format!("field.{key}.label"));
        let label = match field.kind {
            // The group of the weights says it already.
            Kind::Word => element("span").class("unseen").attribute("id", &format!("{key}-label")).words(label),
            Kind::Drawing | Kind::Gaussians | Kind::Picture => {
                element("span").class("label").attribute("id", &format!("{key}-label")).words(label)
            }
            _ => element("label").attribute("for", key).words(label),
        };
        let place = element("div").class("field").child(label);
        let place = match field.kind {
            Kind::Choice(ids) => place.child(menu(field, ids)),
            Kind::Whole { min, max } => place.holds(&amount(field, f64::from(min), f64::from(max), true, true)),
            Kind::Real { min, max, logarithmic } => place.holds(&amount(field, min, max, false, logarithmic)),
            Kind::Drawing => place.holds(&pad()),
            Kind::Gaussians => place.holds(&editor()),
            Kind::Word => weights(place),
            Kind::Picture => place.child(known()),
            Kind::Class => place.holds(&classes(field)),
        };
        let help = move || page.text(&format!("field.{key}.help"));
        vec![place.child(element("p").class("help").attribute("id", &format!("{key}-help")).words(help))]
    };
    element("div").class("place").when(move || shown.get(), made)
}

/// The name of a field's control for tests. What shows the samples and the device in use has the plain name.
fn test_id(key: &'static str) -> &'static str {
    match key {
        "samples" => "samples-field",
        "device" => "device-field",
        _ => key,
    }
}

/// A menu.
fn menu(field: &'static Field, ids: &'static [&'static str]) -> Element {
    let page = page();
    let key = field.key;
    let offered = key != "device" || is_offered();
    let option = |id: &&'static str| {
        let id = *id;
        let option = choice(id, move || page.value(field) == id, move || page.text(&format!("choice.{key}.{id}")));
        // Shown where it was chosen by a link, so that the page can say that it is not there.
        let absent = move || match key {
            "device" => !offered && id == DeviceChoice::Remote.id(),
            // Only weights of images have searched grids.
            "spacing" => id == SpacingId::Searched.id() && page.config.with(|c| c.experiment != ExperimentId::Images),
            _ => false,
        };
        let missing = move || absent() && page.value(field) != id;
        option.attribute_when("hidden", missing).attribute_when("disabled", missing)
    };
    let options: Vec<Element> = ids.iter().map(option).collect();
    element("select")
        .attribute("id", key)
        .test_id(test_id(key))
        .attribute("aria-describedby", &format!("{key}-help"))
        .change(move |id| {
            let _ = page.write(key, &id);
        })
        .holds(&options)
}

/// A number: typed, and by a slider. A seed has a button for another one in its place. What is typed is a text, because a
/// browser's own field of numbers hides what it does not understand, such as a comma before the decimals.
fn amount(field: &'static Field, min: f64, max: f64, whole: bool, logarithmic: bool) -> [Element; 2] {
    let page = page();
    let key = field.key;
    let typed = element("input").attribute("id", key).test_id(test_id(key)).attribute("dir", "ltr");
    let typed = typed.attribute("autocomplete", "off");
    let input = typed.input();
    // What is not taken as typed is shown as it was taken.
    let write = move |text: String| {
        let corrected = page.write(key, &text).is_some();
        let taken = page.config.with_untracked(|config| field.text(config));
        input.set_value(&taken);
        let words = || page.filled("controls.corrected", &[("typed", &text), ("taken", &taken)]);
        input.set_custom_validity(&if corrected { words() } else { String::new() });
        input.report_validity();
    };
    let again = write.clone();
    let typed = typed
        .attribute("inputmode", if whole { "numeric" } else { "decimal" })
        .attribute("aria-describedby", &format!("{key}-help"))
        .property_of("value", move || page.value(field))
        .change(write);
    if key == "seed" {
        let button = element("button").attribute("type", "button").class("quiet").says("action.new-seed");
        return [typed, button.press(move || again(fresh_seed()))];
    }
    let scale = Scale { min, max, logarithmic: logarithmic && min > 0.0, whole };
    let slider = element("input")
        .attribute("type", "range")
        .attribute("min", "0")
        .attribute("max", &shortest(NOTCHES))
        .attribute_of("aria-label", move || page.text(&format!("field.{key}.label")))
        .attribute_of("aria-valuetext", move || page.value(field))
        .property_of("value", move || shortest(scale.notch(real(&page.value(field)).unwrap_or(min))))
        .on("input", move |event: Event| {
            if let Some(notch) = real(&event_target_value(&event)) {
                again(scale.value(notch));
            }
        });
    [typed, slider]
}

fn fresh_seed() -> String {
    ((js_sys::Math::random() * 1e6) as u32).to_string()
}

/// How a slider's notches stand for values.
#[derive(Clone, Copy)]
struct Scale {
    min: f64,
    max: f64,
    logarithmic: bool,
    whole: bool,
}

impl Scale {
    fn notch(self, value: f64) -> f64 {
        let share = if self.logarithmic {
            libm::log(value.max(self.min) / self.min) / libm::log(self.max / self.min)
        } else {
            (value - self.min) / (self.max - self.min)
        };
        (share * NOTCHES).round()
    }

    /// The value, rounded to three digits, as text.
    fn value(self, notch: f64) -> String {
        let share = notch / NOTCHES;
        let value = if self.logarithmic {
            self.min * libm::pow(self.max / self.min, share)
        } else {
            self.min + share * (self.max - self.min)
        };
        let unit = libm::pow(10f64, libm::log10(value.abs().max(1e-12)).floor() - 2.0);
        let unit = if self.whole { unit.max(1.0) } else { unit };
        let rounded = ((value / unit).round() * unit).max(self.min).min(self.max);
        // A decimal exponent of the unit bounds the digits that mean something.
        let digits = (-libm::log10(unit).floor()).max(0.0) as usize;
        let text = fixed(rounded, digits);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}
