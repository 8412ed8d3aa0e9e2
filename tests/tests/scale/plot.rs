//! The plot of the sweeps, as an SVG without scripts or fonts of its own; its lines follow a dark page by themselves.

use super::minutes::{Simulation, Sweep};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Room for the numbers beside and below each panel.
const LEFT: f64 = 62.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
const PANEL: f64 = 290.0;

const STYLE: &str = "\
svg{color:#24292f;background:#ffffff;font:12px sans-serif}\
.due{stroke:#0969da;fill:#0969da}.read{stroke:#bc4c00;fill:#bc4c00}\
@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#0d1117}\
.due{stroke:#58a6ff;fill:#58a6ff}.read{stroke:#f0883e;fill:#f0883e}}\
text{fill:currentColor;stroke:none}text.due,text.read{stroke:none}\
.axis{stroke:currentColor;stroke-width:1;fill:none}.grid{stroke:currentColor;stroke-opacity:.18}\
polyline.due,polyline.read{fill:none;stroke-width:1.8}";

/// One panel: where it stands, and what its axes reach to.
struct Panel {
    x: f64,
    right: f64,
    top: f64,
    log: bool,
}

impl Panel {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part = |value: f64, most: f64| match self.log {
            true => value.max(1.0).log10() / most.log10(),
            false => value / most,
        };
        let height = HEIGHT - TOP - BOTTOM;
        (self.x + part(x, self.right) * PANEL, HEIGHT - BOTTOM - part(y, self.top) * height)
    }

    /// Axes with their numbers.
    fn frame(&self, title: &str, below: &str) -> String {
        let mut out = format!(r#"<text x="{}" y="20" font-weight="bold">{title}</text>"#, self.x);
        for (number, across) in self
            .ticks(self.right)
            .into_iter()
            .map(|tick| (tick, true))
            .chain(self.ticks(self.top).into_iter().map(|tick| (tick, false)))
        {
            let (x, y) = if across { self.at(number, 0.0) } else { self.at(0.0, number) };
            let shown = short(number);
            out += &match across {
                true => format!(r#"<text x="{x:.1}" y="{}" text-anchor="middle">{shown}</text>"#, y + 16.0),
                false => format!(
                    r#"<path class="grid" d="M{x:.1} {y:.1}h{PANEL}"/><text x="{}" y="{}" text-anchor="end">{shown}</text>"#,
                    x - 6.0,
                    y + 4.0
                ),
            };
        }
        let (x, y) = self.at(0.0, 0.0);
        out += &format!(r#"<path class="axis" d="M{x:.1} {TOP}V{y:.1}h{PANEL}"/>"#);
        out + &format!(r#"<text x="{}" y="{}" text-anchor="middle">{below}</text>"#, self.x + PANEL / 2.0, HEIGHT - 8.0)
    }

    fn ticks(&self, most: f64) -> Vec<f64> {
        match self.log {
            true => (0..).map(|power| 10f64.powi(power)).take_while(|tick| *tick <= most).collect(),
            false => (0..=4).map(|quarter| most * f64::from(quarter) / 4.0).collect(),
        }
    }

    fn line(&self, class: &str, points: impl Iterator<Item = (f64, f64)>) -> String {
        let points: Vec<String> = points.map(|(x, y)| self.at(x, y)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        format!(r#"<polyline class="{class}" points="{}"/>"#, points.join(" "))
    }
}

/// Left, minute by minute, what was due and what the sweep cost; right, the cost over what was due, after outages.
pub fn draw(simulation: &Simulation) -> String {
    let Simulation { sweeps, after_outages, nothing_due: [_, nothing], .. } = simulation;
    let both = |sweep: &Sweep| sweep.read.max(sweep.due as f64);
    let most = sweeps.iter().map(both).fold(4.0, f64::max);
    let minutes = Panel { x: LEFT, right: f64::from(simulation.minutes.max(1)), top: round_up(most), log: false };
    let widest = after_outages.iter().map(both).fold(10.0, f64::max);
    let right = 10f64.powf(widest.log10().ceil());
    let top = 10f64.powf(after_outages.iter().map(|sweep| sweep.read).fold(10.0, f64::max).log10().ceil());
    let outages = Panel { x: WIDTH - PANEL - 20.0, right, top, log: true };

    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>What is due, and what a sweep of the index costs</title><style>{STYLE}</style>"#
    );
    out += &minutes.frame("Minute by minute", "minute");
    out += &minutes.line("due", sweeps.iter().map(|sweep| (sweep.minute as f64, sweep.due as f64)));
    out += &minutes.line("read", sweeps.iter().map(|sweep| (sweep.minute as f64, sweep.read)));
    out += &format!(r#"<text class="due" x="{}" y="36">due credentials</text>"#, LEFT);
    out += &format!(r#"<text class="read" x="{}" y="36">read units of the sweep</text>"#, LEFT + 110.0);
    out += &outages.frame("After an outage", "due credentials");
    out += &format!(r#"<text class="read" x="{}" y="36">read units of the sweep</text>"#, outages.x);
    let found = || std::iter::once(nothing).chain(after_outages).map(|sweep| (sweep.due as f64, sweep.read));
    out += &outages.line("read", found());
    for (x, y) in found().map(|(x, y)| outages.at(x, y)) {
        out += &format!(r#"<circle class="read" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
    }
    out + "</svg>\n"
}

fn round_up(most: f64) -> f64 {
    let step = 10f64.powf(most.log10().floor()) * 0.4;
    (most / step).ceil() * step
}

fn short(number: f64) -> String {
    match number {
        1_000_000.0.. => format!("{}M", number / 1e6),
        10_000.0.. => format!("{}k", number / 1e3),
        _ => format!("{}", (number * 10.0).round() / 10.0),
    }
}
