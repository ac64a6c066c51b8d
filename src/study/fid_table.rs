//! Section 5-2: the numbers of table 5-2, where they come from, and what of them was measured here.

use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

const COLUMNS: &[&str] =
    &["fid", "evaluations", "images-judged", "references", "parameters", "averaged", "fid-printed"];
/// Quantities of a network, in the order of [`NETWORKS`]: residual blocks of all kinds, parameters in millions, billions of
/// products of an evaluation of an image of 32 by 32 pixels, pixels along a direction that convolutions alone reach, and FID.
const QUANTITIES: &[&str] = &["blocks", "parameters", "products", "receptive-field", "fid"];
const NETWORKS: &[&str] = &["ncsn-2019", "ncsnv2-2020", "ddpm-2020", "ve-2021", "vp-2021", "edm-2022"];
const ROWS: &[&str] = &["ncsn-2019", "ncsnv2-2020", "ddpm-2020", "ve-2021", "vp-2021", "edm-2022", "cifar-32"];

/// The table.
pub const STUDY: Study = Study {
    id: "fid-table",
    chapter: 5,
    live: true,
    controls: &[],
    figures: &[
        Figure::table(
            "table",
            Axis::of("model", ROWS),
            Axis::of("quantity", COLUMNS),
            &[Layer::new("results", Mark::Table, 0)],
        ),
        Figure::curves(
            "cost",
            Axis::log_fixed("evaluations", 20.0, 3000.0),
            Axis::log_fixed("fid", 1.0, 200.0),
            &[Layer::new("published-elsewhere", Mark::Dots, 0), Layer::new("measured-here", Mark::Dots, 1)],
        ),
        Figure::table(
            "architectures",
            Axis::of("architecture", NETWORKS),
            Axis::of("quantity", QUANTITIES),
            &[Layer::new("results", Mark::Table, 0)],
        ),
        Figure::curves(
            "counts",
            Axis::of("architecture", &["net-ncsn", "net-ddpm", "net-sde", "net-sde-deep"]),
            Axis::free("residual-blocks"),
            &[
                Layer::new("blocks-printed", Mark::Bars, 0),
                Layer::new("blocks-encoder", Mark::Dots, 1),
                Layer::new("blocks-decoder", Mark::Dots, 2),
            ],
        ),
    ],
    claims: &[
        Claim { key: "ncsn", source: Source::Report("5-2-1, 5-2") },
        Claim { key: "order", source: Source::Report("5-2-1, 5-2") },
        Claim { key: "encoder", source: Source::Report("5-2-2") },
    ],
    notes: &["fid", "comparable", "sources", "networks"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, _| Box::pin(work::run(context));

#[cfg(feature = "engine")]
mod work {
    use super::{COLUMNS, NETWORKS, QUANTITIES, ROWS};
    use crate::nn::checkpoint::{Manifest, Measurement};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;

    const OURS: &str = "weights/cifar-32/manifest.json";
    /// What is not known, or was not measured.
    const BLANK: f64 = f64::NAN;

    /// What is published of a model on CIFAR-10, without classes: FID of 50,000 images and the training images.
    struct Published {
        /// Fréchet inception distance.
        fid: f64,
        /// Network evaluations of an image.
        evaluations: f64,
        /// Parameters, in millions.
        parameters: f64,
        /// 1 when the weights are moving averages.
        averaged: f64,
        /// What the report prints for it.
        printed: f64,
    }

    const IMAGES: f64 = 50_000.0;

    /// In the order of the rows: NCSN (Song and Ermon 2019), 10 levels of 100 steps; NCSNv2 (Song and Ermon 2020), 232 of 5
    /// and denoising; DDPM (Ho et al. 2020); deep NCSN++ with VE and predictor and corrector, and deep DDPM++ with VP and the
    /// predictor alone (Song et al. 2021, the table of score_sde_pytorch); EDM (Karras et al. 2022, README).
    const PUBLISHED: [Published; 6] = [
        Published { fid: 25.32, evaluations: 1000.0, parameters: 30.1, averaged: 0.0, printed: 10.87 },
        Published { fid: 10.87, evaluations: 1161.0, parameters: 29.7, averaged: 1.0, printed: BLANK },
        Published { fid: 3.17, evaluations: 1000.0, parameters: 35.7, averaged: 1.0, printed: 3.17 },
        Published { fid: 2.20, evaluations: 2000.0, parameters: 107.6, averaged: 1.0, printed: 2.20 },
        Published { fid: 2.41, evaluations: 1000.0, parameters: 106.6, averaged: 1.0, printed: 2.41 },
        Published { fid: 1.97, evaluations: 35.0, parameters: 55.7, averaged: 1.0, printed: BLANK },
    ];

    /// Residual blocks, parameters in millions, billions of products and receptive field, in the order of the rows:
    /// `tests/engine/study.rs` compares them with what `nn::unet` counts of the published shapes. Frequencies, which are not learned,
    /// and what EDM's network is told of augmented images are not among the parameters.
    const GRAPHS: [[f64; 4]; 6] = [
        [28.0, 30.118, 9.893, 320.0],
        [28.0, 29.694, 9.893, 320.0],
        [22.0, 35.746, 6.222, 397.0],
        [76.0, 107.587, 18.576, 1208.0],
        [76.0, 106.633, 18.546, 1180.0],
        [33.0, 55.733, 21.190, 328.0],
    ];

    /// Residual blocks of a side: as the report counts them, of the encoder, and of the decoder. NCSN's decoder is of
    /// RefineNet's residual units.
    const BLOCKS: [[f64; 3]; 4] = [[6.0, 8.0, 20.0], [8.0, 8.0, 12.0], [16.0, 16.0, 20.0], [16.0, 32.0, 36.0]];
    /// Rows that the report has: the deep ones are the models of its table 5-2.
    const COUNTED: usize = 3;

    pub async fn run(context: StudyContext) -> Result<(), StudyError> {
        // Without the file its row stays blank, and in the end the run says why.
        let ours = ours(&context).await;
        let fid = ours.as_ref().ok();
        let mut numbers = vec![ROWS.len() as f64, COLUMNS.len() as f64];
        for row in &PUBLISHED {
            let Published { fid, evaluations, parameters, averaged, printed } = *row;
            let cells = [fid, evaluations, IMAGES, IMAGES, parameters, averaged, printed];
            numbers.extend(cells.into_iter().flat_map(|cell| [cell, 0.0]));
        }
        let mut cells = [BLANK; 7];
        if let Some(fid) = fid {
            // Images of the reference, where its description begins with their number.
            let digits = fid.reference.split(' ').next().unwrap_or_default().replace(',', "");
            let references = digits.parse().unwrap_or(BLANK);
            cells[..4].copy_from_slice(&[fid.value, f64::from(fid.evaluations), f64::from(fid.images), references]);
        }
        numbers.extend(cells.into_iter().flat_map(|cell| [cell, 0.0]));
        context.draw("table", "results", numbers);
        let mut networks = vec![NETWORKS.len() as f64, QUANTITIES.len() as f64];
        for (graph, row) in GRAPHS.iter().zip(&PUBLISHED) {
            networks.extend(graph.iter().chain([&row.fid]).flat_map(|cell| [*cell, 0.0]));
        }
        context.draw("architectures", "results", networks);
        context.draw("cost", "published-elsewhere", PUBLISHED.iter().flat_map(|row| [row.evaluations, row.fid]));
        context.draw("cost", "measured-here", fid.iter().flat_map(|fid| [f64::from(fid.evaluations), fid.value]));
        let bars = |which: usize| BLOCKS.iter().enumerate().map(move |(place, row)| [place as f64, row[which]]);
        context.draw("counts", "blocks-printed", bars(0).flat_map(|[place, count]| [place, count, 0.0]));
        context.draw("counts", "blocks-encoder", bars(1).flatten());
        context.draw("counts", "blocks-decoder", bars(2).flatten());

        let [ncsn, ncsnv2, ddpm, ve, vp, _] = PUBLISHED.map(|row| row.fid);
        context.conclude("ncsn", ncsn - PUBLISHED[0].printed, 0.0, [-0.005, 0.005]);
        let least = [vp - ve, ddpm - vp, ncsnv2 - ddpm].into_iter().fold(f64::INFINITY, f64::min);
        context.conclude("order", least, 0.0, [0.0, f64::INFINITY]);
        let right =
            BLOCKS[..COUNTED].iter().filter(|[printed, encoder, decoder]| printed == encoder && printed == decoder);
        context.conclude("encoder", right.count() as f64, 0.0, [COUNTED as f64, f64::INFINITY]);
        ours.map(|_| ())
    }

    /// What was measured of the weights beside the page.
    async fn ours(context: &StudyContext) -> Result<Measurement, StudyError> {
        let file = String::from_utf8(context.file(OURS).await?).map_err(|_| StudyError::File(OURS))?;
        let manifest = Manifest::from_json(&file).map_err(|_| StudyError::File(OURS))?;
        manifest.fid.ok_or(StudyError::File(OURS))
    }
}
