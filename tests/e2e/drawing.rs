//! Drawing a data set, with every kind of pointer, through the browser's own input.

use std::time::Duration;

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
