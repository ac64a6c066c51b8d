//! Likelihood: its button, its numbers, the terms of the bound, and where the flow takes the data.

use leptos::prelude::*;

use super::charts::{Chart, SMALL};
use super::measures::Numbers;
use super::state::{memo, page, t, text};
use crate::plot::chart::{LineChart, Series};
use crate::plot::label::number;
use crate::protocol::{Report, Subject};

/// Half the window of the codes, in standard deviations of the prior.
const WINDOW: f64 = 4.0;

/// The codes as an SVG: one and two standard deviations, and the points, those of the left half of the data in one
/// colour and those of the right half in the other.
fn codes(report: &Report) -> String {
    let middle = report.data.points().map(|p| p[0]).sum::<f32>() / report.data.points().len().max(1) as f32;
    let side = |right: bool| {
        let pairs = report.data.points().zip(report.latent.points());
        pairs
            .filter(|(data, _)| (data[0] > middle) == right)
            .map(|(_, [x, y])| format!("M{} {}h0", number(f64::from(x), 3), number(f64::from(-y), 3)))
            .collect::<String>()
    };
    format!(
        "<circle r='1'/><circle r='2'/><path class='left' d='{}'/><path class='right' d='{}'/>",
        side(false),
        side(true)
    )
}

/// What the group of the likelihood's settings ends with.
#[component]
pub fn Likelihood() -> impl IntoView {
    let page = page();
    let with = move |read: fn(&Report) -> String| {
        text(move || page.reports.with(|all| all[Subject::Likelihood as usize].as_ref().map(read).unwrap_or_default()))
    };
    let chart = memo(move || {
        page.reports.with(|all| {
            let report = all[Subject::Likelihood as usize].as_ref()?;
            // Terms that are nothing have no logarithm.
            let mut points: Vec<_> = report.terms.points().filter(|p| p[1] > 0.0).map(|p| p.map(f64::from)).collect();
            // The chain starts with noise, a curve on its left.
            points.reverse();
            let curves = [Series { name: page.text("chart.bound-term"), points }];
            Some((LineChart::new(SMALL, &curves, false, true), None))
        })
    });
    view! {
        <button
            type="button"
            data-testid="likelihood-start"
            on:click=move |_| page.tell(|session| session.likelihood(&page.config.get_untracked()))
        >
            {t("action.likelihood")}
        </button>
        <Numbers subject=Subject::Likelihood />
        <Chart title="chart.bound" empty="chart.bound-empty" axes=["chart.time", "chart.nats"] chart />
        <figure>
            <figcaption>
                <strong>{t("chart.codes")}</strong>
            </figcaption>
            <svg
                class="codes"
                role="img"
                aria-label=t("chart.codes")
                data-testid="codes"
                viewBox=format!("{} {} {} {}", -WINDOW, -WINDOW, 2.0 * WINDOW, 2.0 * WINDOW)
                inner_html=with(codes)
            />
        </figure>
    }
    .into_any()
}
