//! Several solvers side by side, at the same number of network evaluations and from the same noise.

use leptos::prelude::*;

use super::parts::{button, check};
use crate::lab::comparison::USUAL;
use crate::lab::{SolverId, planned_evaluations};
use crate::ui::state::{flag, page, t, text};

/// Which solvers, and the button.
#[component]
pub fn Solvers() -> impl IntoView {
    let page = page();
    let linked = page.images.compared.get_untracked();
    let picked = RwSignal::new(if linked.is_empty() { USUAL.to_vec() } else { linked });
    let boxes = SolverId::ALL
        .iter()
        .filter(|&&solver| solver != SolverId::Rk45)
        .map(|&solver| {
            check(
                solver.id(),
                text(move || page.text(&format!("choice.solver.{}", solver.id()))),
                flag(move || picked.with(|all| all.contains(&solver))),
                Box::new(move |on| {
                    picked.update(|all| {
                        all.retain(|other| *other != solver);
                        if on {
                            all.push(solver);
                        }
                    });
                }),
            )
        })
        .collect_view();
    let price = text(move || {
        let price = page.config.with(|config| planned_evaluations(config).unwrap_or(config.steps));
        page.filled("images.compare-note", &[("evaluations", &price.to_string())])
    });
    let compare = move || {
        // In the order of the menu, whatever the order of the ticks.
        let chosen = picked.with_untracked(|all| SolverId::ALL.iter().filter(|s| all.contains(s)).copied().collect());
        page.images.compared.set(chosen);
        page.run();
    };
    view! {
        <details class="group">
            <summary>{t("images.compare")}</summary>
            <fieldset>
                <legend class="unseen">{t("images.compare")}</legend>
                <p class="note">{price}</p>
                <div class="ticks">{boxes}</div>
                {button(
                    "compare-solvers",
                    "images.compare-go",
                    Some(flag(move || picked.with(Vec::is_empty))),
                    Box::new(compare),
                )}
            </fieldset>
        </details>
    }
    .into_any()
}
