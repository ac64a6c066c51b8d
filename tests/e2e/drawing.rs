//! Drawing a data set, with every kind of pointer, through the browser's own input.

use std::time::Duration;

use scorefield::data::gaussians::{Gaussians, REACH};

use super::page::{LATE, Page, SOON};

const PAD: &str = "[data-testid='drawing']";

/// Points drawn so far, as the page says.
fn count(page: &Page) -> Option<usize> {
    let text = page.browser.script("return document.querySelector('.count')?.textContent ?? '';", &[]);
    text.as_str()?.split_whitespace().next()?.parse().ok()
}

#[test]
fn mouse_touch_and_pen_draw_and_undo_clear_and_the_link_follow() {
    let page = Page::open("drawing", "#dataset=drawing&device=cpu&denoiser=exact&samples=100&steps=5");
    page.wait_for(&["idle"], SOON);
    let strokes = [
        ("mouse", [[-60, -60], [-20, -60], [20, -40], [60, -60]]),
        ("touch", [[-60, 0], [-20, 10], [20, -10], [60, 0]]),
        ("pen", [[-60, 60], [-20, 50], [20, 60], [60, 50]]),
    ];
    let mut counts = vec![0];
    for (pointer, points) in strokes {
        page.browser.stroke(PAD, pointer, &points);
        let before = *counts.last().expect("a count");
        // The browser may join moves; where the pointer went down and where it went up are there in any case.
        // Its last moves may still be on their way: the stroke is over when the number stays.
        let now = page.until(&format!("a stroke with the {pointer}"), SOON, || {
            let some = count(&page).filter(|&n| n >= before + 2)?;
            std::thread::sleep(Duration::from_millis(300));
            (count(&page) == Some(some)).then_some(some)
        });
        counts.push(now);
    }
    // Moving without pressing draws nothing, and a stroke ends where the pointer is lifted.
    assert_eq!(count(&page), counts.last().copied());

    page.press("undo");
    page.until("the last stroke is gone", SOON, || (count(&page)? == counts[2]).then_some(()));
    let fragment = page.until("the link holds the drawing", SOON, || {
        Some(page.fragment()).filter(|f| f.contains(&"drawing=".to_owned()) && drawn(f) == Some(counts[2]))
    });
    page.press("sample");
    page.wait_for(&["done"], LATE);

    page.go(&fragment);
    // Until then it is the page before the link.
    page.wait_for(&["idle"], SOON);
    page.until("the link brings the drawing back", SOON, || (count(&page)? == counts[2]).then_some(()));
    page.press("clear");
    page.until("the pad is empty", SOON, || (count(&page)? == 0).then_some(()));
    page.until("and so is the link", SOON, || (drawn(&page.fragment()).is_none()).then_some(()));
    page.press("train");
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("draw some points"), "{}", page.text("error"));
    page.close();
}

/// Points of the drawing in a fragment: two letters each.
fn drawn(fragment: &str) -> Option<usize> {
    let value = fragment.split(['#', '&']).find_map(|part| part.strip_prefix("drawing="))?;
    Some(value.len() / 2)
}

const EDITOR: &str = "canvas[data-testid='gaussians']";

/// The Gaussians of a fragment; eight letters each, the ones to begin with where it names none.
fn placed(fragment: &str) -> Gaussians {
    let value = fragment.split(['#', '&']).find_map(|part| part.strip_prefix("gaussians="));
    value.map_or_else(Gaussians::default, |text| {
        let (gaussians, damaged) = Gaussians::from_text(text);
        assert!(!damaged, "{text}");
        gaussians
    })
}

/// From the canvas' centre, in pixels of the page, to a point of the plane.
fn on_canvas(page: &Page, [x, y]: [f64; 2]) -> [i32; 2] {
    let size = "return document.querySelector(arguments[0]).getBoundingClientRect().width;";
    let half = page.browser.script(size, &[EDITOR.into()]).as_f64().expect("a width") / 2.0;
    [x, -y].map(|v| (v / (1.2 * REACH) * half).round() as i32)
}

#[test]
fn gaussians_are_dragged_stretched_typed_added_and_taken_away_and_the_link_follows() {
    let page = Page::open("gaussians", "#dataset=gaussians&device=cpu&denoiser=exact&samples=100&steps=5");
    page.wait_for(&["idle"], SOON);
    let now = |page: &Page| placed(&page.fragment());
    let begin = Gaussians::default();
    assert_eq!(now(&page), begin);

    // The second, by its centre: a mouse and a finger take it up where it is.
    for (pointer, from, to) in [("mouse", [2.5, -0.5], [3.0, 2.0]), ("touch", [3.0, 2.0], [1.0, -3.0])] {
        page.browser.stroke(
            EDITOR,
            pointer,
            &[on_canvas(&page, from), on_canvas(&page, [1.0, 1.0]), on_canvas(&page, to)],
        );
        page.until(&format!("the {pointer} has moved it"), SOON, || {
            let [x, y] = now(&page).all()[1].centre();
            ((x - to[0]).abs() < 0.1 && (y - to[1]).abs() < 0.1).then_some(())
        });
    }
    // It is the chosen one now, and its handles can be drawn out: the one along turns it, too.
    let [x, y] = now(&page).all()[1].centre();
    let [along, _] = now(&page).all()[1].deviations();
    page.browser.stroke(
        EDITOR,
        "mouse",
        &[on_canvas(&page, [x + 2.0 * along, y]), on_canvas(&page, [x + 1.5, y + 1.5])],
    );
    page.until("it is stretched and turned", SOON, || {
        let second = now(&page).all()[1];
        let stretched = (second.deviations()[0] - 1.06).abs() < 0.1 && (second.deviations()[1] - 0.5).abs() < 0.03;
        (stretched && (second.degrees() - 45.0).abs() < 4.0).then_some(())
    });
    // By keyboard, and what cannot be is moved to what can.
    page.set("gaussian", "0");
    page.set("gaussian-x", "-4");
    page.set("gaussian-weight", "7");
    page.set("gaussian-across", "100");
    page.until("the numbers are taken", SOON, || {
        let first = now(&page).all()[0];
        (first.weight() == 7 && (first.centre()[0] + 4.0).abs() < 2e-3 && first.deviations()[1] == 3.0).then_some(())
    });
    let shown = "return document.querySelector(\"[data-testid='gaussian-across']\").value;";
    assert_eq!(page.browser.script(shown, &[]).as_str(), Some("3"));

    page.press("gaussian-add");
    page.until("there are four", SOON, || (now(&page).all().len() == 4).then_some(()));
    let edited = page.fragment();
    page.press("sample");
    page.wait_for(&["done"], LATE);
    // The link brings them back, and one after the other they can be taken away but for the last.
    page.go(&edited);
    page.wait_for(&["idle"], SOON);
    assert_eq!(now(&page), placed(&edited));
    for left in (1..4).rev() {
        page.press("gaussian-remove");
        page.until("one is taken away", SOON, || (now(&page).all().len() == left).then_some(()));
    }
    let enabled = "return !document.querySelector(\"[data-testid='gaussian-remove']\").disabled;";
    assert_eq!(page.browser.script(enabled, &[]).as_bool(), Some(false));
    page.close();
}
