use scorefield::data::{Dataset, metrics::Judge};
use scorefield::diffusion::{Denoiser, Estimate, Level};
use scorefield::diffusion::{NoiseUse, Sampler, now};
use scorefield::engine::preview::{noise, prior};
use scorefield::engine::{Learned, Trainer, open};
use scorefield::lab::*;
use std::time::Instant;

struct D<'a>(&'a Learned);
impl Denoiser<Vec<[f64; 2]>> for D<'_> {
    async fn estimate(&mut self, x: &Vec<[f64; 2]>, level: Level) -> Estimate<Vec<[f64; 2]>> {
        let (mut d, mut n) = (vec![], vec![]);
        for c in x.chunks(512) {
            let e = self.0.estimates(c, level).await.unwrap();
            d.extend(e.data);
            n.extend(e.noise);
        }
        Estimate { data: d, noise: n }
    }
}
fn main() {
    // args: key=value ..., sets=a,b  seeds=1,2
    let mut base = RunConfig::default();
    let mut sets: Vec<DatasetId> = DatasetId::ALL.iter().copied().filter(|d| *d != DatasetId::Drawing).collect();
    let mut seeds = vec![1u32];
    let mut n = 2000usize;
    for a in std::env::args().skip(1) {
        let Some((k, v)) = a.split_once('=') else { continue };
        match k {
            "sets" => sets = v.split(',').map(|s| DatasetId::from_id(s).expect(s)).collect(),
            "seeds" => seeds = v.split(',').map(|s| s.parse().unwrap()).collect(),
            "n" => n = v.parse().unwrap(),
            _ => {
                assert_eq!(field(k).expect(k).set_text(&mut base, v), None, "{k}");
            }
        }
    }
    let opened = now(open(DeviceWish::Cpu)).unwrap();
    let (mut tot_kl, mut tot_sl, mut count) = (0.0, 0.0, 0.0);
    for set in sets {
        let dataset = Dataset::new(set, &base.drawing).unwrap();
        let judge = Judge::new(&dataset, n, 1);
        for &seed in &seeds {
            let config = RunConfig { dataset: set, seed, ..base.clone() };
            let mut t = Trainer::new(config.clone(), &opened).unwrap();
            let start = Instant::now();
            while !t.is_finished() {
                t.advance();
            }
            let secs = start.elapsed().as_secs_f64();
            let losses = now(t.take_losses()).unwrap();
            let tail = losses[losses.len().saturating_sub(200)..].iter().sum::<f32>() / losses.len().min(200) as f32;
            let l = Learned::new(&now(t.weights()).unwrap(), &opened);
            let mut s = Sampler::from_config(&config, prior(seed + 1000, n));
            let mut f = |_: &Vec<[f64; 2]>, u: NoiseUse| noise(seed, n, u);
            let mut d = D(&l);
            while now(s.step(&mut d, &mut f)).is_some() {}
            let x: Vec<[f64; 2]> = s.x().iter().map(|&p| dataset.from_standard(p)).collect();
            let q = judge.quality(&x);
            println!(
                "{:<16} seed {seed} loss {tail:.4} kl {:.4} (floor {:.4} +- {:.4}) sliced {:.4} (floor {:.4} +- {:.4}) {secs:.1}s",
                set.id(),
                q.kl,
                q.kl_floor,
                q.kl_spread,
                q.sliced,
                q.sliced_floor,
                q.sliced_spread
            );
            tot_kl += q.kl - q.kl_floor;
            tot_sl += q.sliced / q.sliced_floor;
            count += 1.0;
        }
    }
    println!("mean excess kl {:.4}, sliced/floor {:.3}", tot_kl / count, tot_sl / count);
}
