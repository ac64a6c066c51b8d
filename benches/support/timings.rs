//! What the CPU worker says of its own speed, asked for as the page asks.

use scorefield::lab::RunConfig;
use scorefield::protocol::{Benchmark, Command, Event};
use scorefield::wire::{decode, encode};
use serde_json::json;

use crate::webdriver::Browser;

/// The command goes when the worker has said that it is ready, and the next message is its answer.
const ASK: &str = "
const [command, program, done] = arguments;
const worker = new Worker(program + '_loader.js', { type: 'module' });
let messages = 0;
worker.onerror = e => done(String(e.message));
worker.onmessage = ({ data }) => {
  messages += 1;
  if (messages === 1) worker.postMessage(Uint8Array.from(command));
  else { worker.terminate(); done(Array.from(data)); }
};";

/// Timings of a network by one of the two programs of the CPU worker, over so many milliseconds.
pub fn timings(browser: &Browser, address: &str, program: &str, config: &RunConfig, budget_ms: f64) -> Benchmark {
    let command = encode(&Command::Benchmark { config: config.clone(), budget_ms }).expect("bytes");
    // A file without a policy of its own, at the same origin as the worker.
    browser.goto(&format!("http://{address}/{program}_loader.js"));
    let answer = browser.script_async(ASK, &[json!(command), json!(program)]);
    let bytes: Option<Vec<u8>> = answer.as_array().map(|a| a.iter().map(|b| b.as_u64().unwrap_or(0) as u8).collect());
    match decode(&bytes.unwrap_or_else(|| panic!("the worker failed: {answer}"))) {
        Ok(Event::Benchmark { benchmark }) => benchmark,
        other => panic!("the worker answered {other:?}"),
    }
}
