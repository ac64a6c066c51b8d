//! Several solvers side by side, at the same number of network evaluations and from the same noise.

use crate::lab::comparison::USUAL;
use crate::lab::{SolverId, planned_evaluations};
use crate::ui::element::{Element, element};
use crate::ui::parts::{check, quiet};
use crate::ui::runs;
use crate::ui::signal::Local;
use crate::ui::state::page;

/// Which solvers, and the button.
pub fn solvers() -> Element {
    let page = page();
    let linked = page.images.compared.get_untracked();
    let picked = Local::new(if linked.is_empty() { USUAL.to_vec() } else { linked });
    let tick = |&solver: &SolverId| {
        check(
            solver.id(),
            move || page.text(&format!("choice.solver.{}", solver.id())),
            move || picked.with(|all| all.contains(&solver)),
            move |on| {
                picked.update(|all| {
                    all.retain(|other| *other != solver);
                    if on {
                        all.push(solver);
                    }
                });
            },
        )
    };
    let boxes: Vec<Element> = SolverId::ALL.iter().filter(|&&solver| solver != SolverId::Rk45).map(tick).collect();
    let price = move || {
        let price = page.config.with(|config| planned_evaluations(config).unwrap_or(config.steps));
        page.filled("images.compare-note", &[("evaluations", &price.to_string())])
    };
    let compare = move || {
        // In the order of the menu, whatever the order of the ticks.
        let chosen = picked.with_untracked(|all| SolverId::ALL.iter().filter(|s| all.contains(s)).copied().collect());
        page.images.compared.set(chosen);
        runs::run(page);
    };
    let compare = quiet("compare-solvers", "images.compare-go", compare);
    element("details").class("group").holds(&[
        element("summary").says("images.compare"),
        element("fieldset").holds(&[
            element("legend").class("unseen").says("images.compare"),
            element("p").class("note").words(price),
            element("div").class("ticks").holds(&boxes),
            compare.attribute_when("disabled", move || picked.with(Vec::is_empty)),
        ]),
    ])
}
