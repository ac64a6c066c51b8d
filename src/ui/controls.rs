//! The controls of a run, one for every field that matters, in the groups of the experiment.

use leptos::prelude::*;

use super::likelihood::Likelihood;
use super::pad::Pad;
use super::state::{flag, memo, page, t, text};
use crate::lab::experiments::{Group, matters};
use crate::lab::{Experiment, Field, Kind, field};

/// Positions of a slider.
const NOTCHES: f64 = 1000.0;

/// Every group of the experiment.
#[component]
pub fn Controls() -> impl IntoView {
    let page = page();
    let experiment = memo(move || page.config.with(|c| c.experiment));
    view! {
        <form class="controls" aria-label=t("controls.label") on:submit=|event| event.prevent_default()>
            {move || {
                Experiment::find(experiment.get())
                    .groups
                    .iter()
                    .map(|group| view! { <Fields group /> })
                    .collect_view()
            }}
        </form>
    }
}

#[component]
fn Fields(group: &'static Group) -> impl IntoView {
    let page = page();
    let title = text(move || page.text(&format!("group.{}", group.id)));
    let fields = group.fields.iter().filter_map(|key| field(key)).map(|field| view! { <Control field /> });
    let fields = fields.collect_view();
    if group.advanced {
        view! {
            <details class="group">
                <summary>{title}</summary>
                <fieldset>
                    <legend class="unseen">{title}</legend>
                    {fields}
                    {(group.id == "likelihood").then(|| view! { <Likelihood /> })}
                </fieldset>
            </details>
        }
        .into_any()
    } else {
        view! {
            <fieldset class="group">
                <legend>{title}</legend>
                {fields}
            </fieldset>
        }
        .into_any()
    }
}

/// One field with its label and its explanation.
#[component]
pub fn Control(field: &'static Field) -> impl IntoView {
    let page = page();
    let key = field.key;
    let shown = memo(move || page.config.with(|config| matters(key, config)));
    let label = text(move || page.text(&format!("field.{key}.label")));
    let help = text(move || page.text(&format!("field.{key}.help")));
    let body = move || match field.kind {
        Kind::Choice(ids) => view! { <Choice field ids /> }.into_any(),
        Kind::Whole { min, max } => {
            view! { <Number field min=f64::from(min) max=f64::from(max) whole=true logarithmic=true /> }.into_any()
        }
        Kind::Real { min, max, logarithmic } => view! { <Number field min max whole=false logarithmic /> }.into_any(),
        Kind::Drawing => view! { <Pad /> }.into_any(),
        // The panel of the images has these.
        Kind::Word | Kind::Picture => ().into_any(),
    };
    view! {
        <Show when=move || shown.get()>
            <div class="field">
                {if field.kind == Kind::Drawing {
                    view! { <span class="label" id=format!("{key}-label")>{label}</span> }.into_any()
                } else {
                    view! { <label for=key>{label}</label> }.into_any()
                }} {body} <p class="help" id=format!("{key}-help")>{help}</p>
            </div>
        </Show>
    }
    .into_any()
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
#[component]
pub fn Choice(field: &'static Field, ids: &'static [&'static str]) -> impl IntoView {
    let page = page();
    let key = field.key;
    let options = ids
        .iter()
        .map(|&id| {
            view! {
                <option value=id prop:selected=flag(move || page.value(field) == id)>
                    {text(move || page.text(&format!("choice.{key}.{id}")))}
                </option>
            }
        })
        .collect_view();
    view! {
        <select
            id=key
            data-testid=test_id(key)
            aria-describedby=format!("{key}-help")
            on:change=move |event| page.write(key, &event_target_value(&event))
        >
            {options}
        </select>
    }
    .into_any()
}

#[component]
fn Number(field: &'static Field, min: f64, max: f64, whole: bool, logarithmic: bool) -> impl IntoView {
    let page = page();
    let key = field.key;
    let written = NodeRef::<leptos::html::Input>::new();
    // What is not taken as typed is shown as it was taken.
    let write = move |text: String| {
        page.write(key, &text);
        if let Some(input) = written.get_untracked() {
            input.set_value(&page.config.with_untracked(|config| field.text(config)));
        }
    };
    let scale = Scale { min, max, logarithmic: logarithmic && min > 0.0, whole };
    let seed = key == "seed";
    view! {
        <input
            id=key
            node_ref=written
            data-testid=test_id(key)
            type="number"
            inputmode=if whole { "numeric" } else { "decimal" }
            min=min.to_string()
            max=max.to_string()
            step=if whole { "1" } else { "any" }
            aria-describedby=format!("{key}-help")
            prop:value=text(move || page.value(field))
            on:change=move |event| write(event_target_value(&event))
        />
        {if seed {
            view! {
                <button type="button" class="quiet" on:click=move |_| write(fresh_seed())>
                    {t("action.new-seed")}
                </button>
            }
            .into_any()
        } else {
            view! {
                <input
                    type="range"
                    min="0"
                    max=NOTCHES.to_string()
                    aria-label=text(move || page.text(&format!("field.{key}.label")))
                    aria-valuetext=text(move || page.value(field))
                    prop:value=text(move || scale.notch(page.value(field).parse().unwrap_or(min)).to_string())
                    on:input=move |event| {
                        if let Ok(notch) = event_target_value(&event).parse() {
                            write(scale.value(notch));
                        }
                    }
                />
            }
            .into_any()
        }}
    }
    .into_any()
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
        let rounded = ((value / unit).round() * unit).clamp(self.min, self.max);
        // A decimal exponent of the unit bounds the digits that mean something.
        let digits = (-libm::log10(unit).floor()).max(0.0) as usize;
        let text = format!("{rounded:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}
