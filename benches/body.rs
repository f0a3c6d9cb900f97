//! Time to scan a chat body and to splice its `model`: `cargo bench --bench body`.
//!
//! The release profile's link-time optimisation takes minutes and changes little here; without it:
//! `cargo bench --bench body --config 'profile.bench.lto=false' --config 'profile.bench.codegen-units=16'`.

use std::hint::black_box;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchback::body::{Edits, scan, segments};

/// Per row; enough for a steady median.
const TIME_PER_ROW: Duration = Duration::from_millis(400);

/// The parts of a request's body that vary in what they cost.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Four messages of escaped prose.
    Long,
    /// As many one-line messages as fit.
    Short,
    /// One base64 image.
    Image,
}

/// About `bytes` long, with `model` at the end, which is the most work.
fn chat(shape: Shape, bytes: usize) -> Bytes {
    let (message_bytes, open, unit, close) = match shape {
        Shape::Long => (
            bytes / 4,
            r#"{"role":"user","content":""#,
            r#"Say \"hi\".\nThen list what may go wrong. "#,
            "\"}",
        ),
        Shape::Short => (
            0,
            r#"{"role": "user", "content": ""#,
            "Hello there, how are you today?",
            "\"}",
        ),
        Shape::Image => (
            bytes,
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#,
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
            "\"}}]}",
        ),
    };
    let mut messages: Vec<String> = Vec::new();
    let mut written = 0;
    while written < bytes.saturating_sub(120) {
        let units = (message_bytes / unit.len()).max(1);
        messages.push(format!("{open}{}{close}", unit.repeat(units)));
        written += messages.last().map_or(0, String::len);
    }
    let messages = messages.join(", ");
    Bytes::from(format!(
        r#"{{"temperature":0.7,"messages":[{messages}],"stream":true,"model":"gpt-4o"}}"#
    ))
}

/// Shortest and median time of one `work`, in nanoseconds.
fn measure(mut work: impl FnMut()) -> (u128, u128) {
    let end = Instant::now() + TIME_PER_ROW;
    let mut times = Vec::new();
    while times.len() < 5 || Instant::now() < end {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    (times[0], times[times.len() / 2])
}

fn main() -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "| body | bytes | scan min ns | scan median ns | GB/s | splice min ns | splice median ns |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for bytes in [1 << 10, 100 << 10, 10 << 20] {
        for shape in [Shape::Long, Shape::Short, Shape::Image] {
            let body = chat(shape, bytes);
            let facts = scan(&body).map_err(std::io::Error::other)?;
            let (scan_min, scan_median) = measure(|| drop(black_box(scan(black_box(&body)))));
            let (splice_min, splice_median) =
                measure(|| drop(black_box(segments(&body, &facts, Some("other/model"), Edits::NONE))));
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = body.len() as f64 / scan_median as f64;
            writeln!(
                out,
                "| {shape:?} | {} | {scan_min} | {scan_median} | {rate:.2} | {splice_min} | {splice_median} |",
                body.len(),
            )?;
        }
    }
    Ok(())
}
