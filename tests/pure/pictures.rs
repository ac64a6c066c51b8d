//! The small pictures of the experiments beside the page: one for each, light, and drawings of ours alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scorefield::experiments::all;

/// Most bytes of a picture: thirty of them are not more than a photograph.
const MOST: usize = 16_000;

#[test]
fn every_experiment_has_a_picture_that_is_light_and_asks_for_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/pictures");
    let names: BTreeSet<String> = fs::read_dir(&folder)
        .expect("web/pictures: scorefield report --pictures web/pictures writes it")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, all().map(|experiment| format!("{}.svg", experiment.id())).collect());
    for name in names {
        let drawing = fs::read_to_string(folder.join(&name)).expect("a text");
        assert!(drawing.len() <= MOST, "{name}: {} bytes", drawing.len());
        assert!(drawing.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 400\">"), "{name}");
        assert!(drawing.contains("<image") || drawing.matches("<path").count() > 1, "{name}: nothing is drawn");
        assert!(!drawing.contains("NaN") && !drawing.contains("<script"), "{name}");
        let addresses = drawing.split("href=\"").skip(1);
        assert!(addresses.clone().all(|rest| rest.starts_with("data:image/gif;base64,")), "{name}");
    }
}
