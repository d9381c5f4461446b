//! A page with plots: latency against size, throughput against size, and how latency is
//! distributed.

use crate::row::Row;
use crate::task::Work;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

const PLOT: (u32, u32) = (1000, 640);
/// The size whose distribution is drawn.
const DRAWN: usize = 64;

/// One line of a plot.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// What a plot says at its edges.
struct Labels<'l> {
    title: &'l str,
    x: &'l str,
    y: &'l str,
}

/// Writes `index.html`, with the plots in it, into this folder.
pub(crate) fn write(folder: &Path, rows: &[Row], text: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let plots = [
        against_size(rows, Work::Roundtrip, "Round trip: median", "nanoseconds", |r| r.p50),
        against_size(rows, Work::Stream, "One way: messages a second", "millions a second", |r| {
            r.per_second.map(|rate| rate / 1e6)
        }),
        against_size(rows, Work::Stream, "One way: bytes a second", "GB a second", |r| {
            r.per_second.map(|rate| rate * r.size as f64 / 1e9)
        }),
        distribution(rows),
    ];
    let mut page = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Twocan: benchmark</title>\n\
         <style>body{font:16px sans-serif;margin:2em auto;max-width:1100px}\
         pre{font-size:12px;overflow-x:auto}</style>\n<h1>Twocan: benchmark</h1>\n",
    );
    for plot in plots {
        page += &plot?;
        page.push('\n');
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(page, "<pre>{text}</pre>");
    std::fs::write(folder.join("index.html"), page)?;
    Ok(())
}

fn against_size(
    rows: &[Row],
    work: Work,
    title: &str,
    unit: &str,
    value: impl Fn(&Row) -> Option<f64>,
) -> Result<String> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows.iter().filter(|row| row.work == work) {
        let Some(value) = value(row) else { continue };
        let point = (row.size as f64, value);
        match lines.iter_mut().find(|line| line.name == row.candidate) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: row.candidate, points: vec![point] }),
        }
    }
    draw(&Labels { title, x: "bytes of a message", y: unit }, &lines, |x| format!("{x}"))
}

/// How many nines of all round trips are within so many nanoseconds.
fn distribution(rows: &[Row]) -> Result<String> {
    let drawn = rows.iter().filter(|r| (r.work, r.size) == (Work::Roundtrip, DRAWN));
    let lines: Vec<Line> = drawn
        .filter_map(|row| {
            let histogram = row.histogram.as_ref().filter(|h| !h.is_empty())?;
            let steps = (0..=40).map(|i| 10_f64.powf(f64::from(i) / 10.0));
            let point = |rest: f64| (rest, histogram.value_at_quantile(1.0 - 1.0 / rest) as f64);
            Some(Line { name: row.candidate, points: steps.map(point).collect() })
        })
        .collect();
    let labels = Labels {
        title: &format!("Round trips of {DRAWN} B, one by one: how they are distributed"),
        x: "per cent that are as fast or faster",
        y: "nanoseconds",
    };
    draw(&labels, &lines, |x| format!("{:.4}", 100.0 - 100.0 / x).trim_end_matches('0').to_owned())
}

/// From the smallest to the largest, with a little room.
fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut low, mut high) = (f64::MAX, f64::MIN_POSITIVE);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high { 1.0..10.0 } else { low * 0.8..high * 1.25 }
}

fn draw(labels: &Labels<'_>, lines: &[Line], x_label: impl Fn(&f64) -> String) -> Result<String> {
    let mut svg = String::new();
    let all = || lines.iter().flat_map(|line| &line.points);
    {
        let no = |e| anyhow!("a plot: {e}");
        let area = SVGBackend::with_string(&mut svg, PLOT).into_drawing_area();
        area.fill(&WHITE).map_err(no)?;
        let (x, y) = (span(all().map(|p| p.0)), span(all().map(|p| p.1)));
        let mut chart = ChartBuilder::on(&area)
            .caption(labels.title, ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .right_y_label_area_size(170)
            .build_cartesian_2d(x.log_scale(), y.log_scale())
            .map_err(no)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(labels.x).y_desc(labels.y).x_label_formatter(&x_label).draw().map_err(no)?;
        for (i, line) in lines.iter().enumerate() {
            let style = colour(i).stroke_width(if line.name.starts_with("twocan") { 3 } else { 1 });
            let points = line.points.iter().copied();
            let series = chart.draw_series(LineSeries::new(points, style).point_size(2));
            series
                .map_err(no)?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).margin(4).legend_area_size(24);
        legend.background_style(WHITE.mix(0.7)).draw().map_err(no)?;
        area.present().map_err(no)?;
    }
    Ok(svg)
}

fn colour(number: usize) -> RGBAColor {
    let hue = (number as f64 * 0.381_966).fract();
    HSLColor(hue, 0.75, if number.is_multiple_of(2) { 0.40 } else { 0.55 }).to_rgba()
}
