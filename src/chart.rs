//! Learning curves as plain shapes: scales, ticks, colours, legend. [`svg`] and [`raster`] draw the same picture.
//!
//! It knows nothing of runs or strategies: what is drawn is a [`Chart`], numbers and names.

pub mod raster;
pub mod svg;

/// How large a picture is, in units of the SVG (a PNG has two pixels a unit), and whether the names of the curves are in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    width: f64,
    height: f64,
    legend: bool,
}

impl Frame {
    /// A picture that stands by itself.
    pub const FILE: Self = Self { width: 960.0, height: 560.0, legend: true };
    /// A picture in a page, which is readable on a phone; the page names the curves.
    pub const INLINE: Self = Self { width: 600.0, height: 360.0, legend: false };
}

const LEFT: f64 = 64.0;
const TOP: f64 = 48.0;
/// Below the plot: tick labels and the axis' name.
const BOTTOM: f64 = 56.0;
/// A letter of the fixed-width font, and a line of it.
const LETTER: f64 = 7.0;
const LINE: f64 = 20.0;
/// A longer strategy text is cut in the legend.
const LEGEND_LETTERS_MAX: usize = 32;
/// The legend's sample of a line.
const SAMPLE: f64 = 36.0;

const BLACK: Colour = Colour(0, 0, 0);
const GREY: Colour = Colour(110, 110, 110);
const LIGHT: Colour = Colour(225, 225, 225);

/// Okabe and Ito's colours without the yellow, which is lost on white: people who confuse some colours still tell these apart.
const COLOURS: [Colour; 7] = [
    BLACK,
    Colour(0, 114, 178),
    Colour(213, 94, 0),
    Colour(0, 158, 115),
    Colour(204, 121, 167),
    Colour(230, 159, 0),
    Colour(86, 180, 233),
];
/// Seven colours and four patterns have no common divisor, so 28 strategies look different.
const DASHES: [&[f64]; 4] = [&[], &[9.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// For people.
    pub title: String,
    /// Whether values are shares, to be shown in percent.
    pub is_share: bool,
    /// A value to reach: a line across, where it is not far from every curve.
    pub target: Option<f64>,
    /// The curves, the first one in front.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// By labels.
    pub points: Vec<Point>,
}

/// A value for so many labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Labels bought.
    pub labels: f64,
    /// The value.
    pub value: f64,
    /// From where to where it may be: the band around the curve.
    pub range: Option<(f64, f64)>,
}

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour(u8, u8, u8);

/// A place, from the upper left corner.
type Place = (f64, f64);

/// What a picture is made of, in the order in which it is drawn.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Lines from place to place; dashes are lengths drawn and skipped, none for a solid line.
    Line { places: Vec<Place>, colour: Colour, width: f64, dashes: &'static [f64] },
    /// A filled area with little of its colour's strength.
    Area { places: Vec<Place>, colour: Colour },
    /// A filled circle.
    Dot { at: Place, radius: f64, colour: Colour },
    /// Text whose base line is at a place.
    Text { at: Place, text: String, side: Side, colour: Colour },
}

/// Which part of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Middle,
    Right,
}

/// A picture on white.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    width: f64,
    height: f64,
    title: String,
    shapes: Vec<Shape>,
}

/// Draws curves with their bands, the target and a legend.
#[must_use]
pub fn draw(chart: &Chart, frame: Frame) -> Picture {
    let names: Vec<String> = chart.curves.iter().map(|one| shortened(&one.name)).collect();
    let letters = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let legend = if frame.legend { SAMPLE + 16.0 + letters as f64 * LETTER } else { 0.0 };
    let lines = if frame.legend { names.len() } else { 0 };
    let top = if frame.legend { TOP } else { TOP / 3.0 };
    let height = frame.height.max(TOP + BOTTOM + lines as f64 * LINE);
    let plot = Plot {
        left: LEFT,
        right: frame.width - legend - 20.0,
        top,
        bottom: height - BOTTOM,
        labels: Scale::around(places(chart).map(|(labels, _)| labels)),
        value: Scale::around(places(chart).map(|(_, value)| value)),
        is_share: chart.is_share,
    };
    let title = chart.title.clone();
    let mut shapes = Vec::new();
    if frame.legend {
        shapes.push(text((LEFT, 26.0), title.clone(), Side::Left, BLACK));
    }
    plot.axes(&mut shapes);
    if let Some(target) = chart.target {
        plot.target(target, &mut shapes);
    }
    for (index, one) in chart.curves.iter().enumerate() {
        plot.band(one, colour(index), &mut shapes);
    }
    for (index, one) in chart.curves.iter().enumerate() {
        plot.curve(one, index, &mut shapes);
    }
    for (index, name) in names.into_iter().enumerate().take(lines) {
        let (x, y) = (plot.right + 16.0, TOP + 8.0 + index as f64 * LINE);
        shapes.push(line(vec![(x, y), (x + SAMPLE, y)], index));
        shapes.push(text((x + SAMPLE + 8.0, y + 4.0), name, Side::Left, BLACK));
    }
    Picture { width: frame.width, height, title, shapes }
}

/// Every place of every curve and of its band's edges.
fn places(chart: &Chart) -> impl Iterator<Item = Place> {
    chart.curves.iter().flat_map(|one| &one.points).flat_map(|point| {
        let (low, high) = point.range.unwrap_or((point.value, point.value));
        [low, high].map(|value| (point.labels, value))
    })
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LEGEND_LETTERS_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LEGEND_LETTERS_MAX - 3).collect();
    kept + "..."
}

fn colour(index: usize) -> Colour {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or(BLACK)
}

fn line(places: Vec<Place>, index: usize) -> Shape {
    let dashes = DASHES.get(index % DASHES.len()).copied().unwrap_or_default();
    Shape::Line { places, colour: colour(index), width: 2.0, dashes }
}

const fn thin(from: Place, to: Place, colour: Colour) -> (Place, Place, Colour) {
    (from, to, colour)
}

const fn text(at: Place, text: String, side: Side, colour: Colour) -> Shape {
    Shape::Text { at, text, side, colour }
}

/// The rectangle of the curves, and what its edges mean.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    labels: Scale,
    value: Scale,
    is_share: bool,
}

impl Plot {
    fn x(&self, labels: f64) -> f64 {
        self.left + self.labels.share(labels) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.value.share(value) * (self.bottom - self.top)
    }

    /// A value: a share in percent, any other number as it is.
    fn shown(&self, value: f64) -> String {
        if self.is_share { format!("{} %", number(100.0 * value)) } else { number(value) }
    }

    fn axes(&self, shapes: &mut Vec<Shape>) {
        let mut lines = Vec::new();
        for tick in self.value.ticks() {
            let y = self.y(tick);
            lines.push(thin((self.left, y), (self.right, y), LIGHT));
            shapes.push(text((self.left - 8.0, y + 4.0), self.shown(tick), Side::Right, BLACK));
        }
        for tick in self.labels.ticks() {
            let x = self.x(tick);
            lines.push(thin((x, self.bottom), (x, self.bottom + 5.0), BLACK));
            shapes.push(text((x, self.bottom + 20.0), number(tick), Side::Middle, BLACK));
        }
        lines.push(thin((self.left, self.bottom), (self.right, self.bottom), BLACK));
        lines.push(thin((self.left, self.top), (self.left, self.bottom), BLACK));
        let middle = (self.left + self.right) / 2.0;
        let name = "labels bought".to_owned();
        shapes.push(text((middle, self.bottom + 42.0), name, Side::Middle, BLACK));
        shapes.extend(lines.into_iter().map(|(from, to, colour)| Shape::Line {
            places: vec![from, to],
            colour,
            width: 1.0,
            dashes: &[],
        }));
    }

    fn target(&self, target: f64, shapes: &mut Vec<Shape>) {
        let y = self.y(target);
        if !(self.top..=self.bottom).contains(&y) {
            return; // far from every curve
        }
        let places = vec![(self.left, y), (self.right, y)];
        shapes.push(Shape::Line { places, colour: GREY, width: 1.0, dashes: &[4.0, 4.0] });
        let name = format!("target {}", self.shown(target));
        shapes.push(text((self.left + 8.0, y - 6.0), name, Side::Left, GREY));
    }

    fn band(&self, one: &Curve, colour: Colour, shapes: &mut Vec<Shape>) {
        let edge = |end: fn((f64, f64)) -> f64| {
            one.points
                .iter()
                .filter_map(move |point| Some((self.x(point.labels), self.y(end(point.range?)))))
        };
        let upper: Vec<Place> = edge(|(_, high)| high).collect();
        if upper.len() > 1 {
            let lower: Vec<Place> = edge(|(low, _)| low).collect();
            let places = upper.into_iter().chain(lower.into_iter().rev()).collect();
            shapes.push(Shape::Area { places, colour });
        }
    }

    fn curve(&self, one: &Curve, index: usize, shapes: &mut Vec<Shape>) {
        let places: Vec<Place> =
            one.points.iter().map(|point| (self.x(point.labels), self.y(point.value))).collect();
        match places.as_slice() {
            [] => {}
            [at] => shapes.push(Shape::Dot { at: *at, radius: 4.0, colour: colour(index) }),
            [_, _, ..] => shapes.push(line(places, index)),
        }
    }
}

/// An axis from one round number to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// About eight steps of 1, 2 or 5 times a power of ten, with all the values inside.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            return Self { low: 0.0, high: 1.0, step: 0.2 };
        }
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
        let mut power = 1e-9;
        while power * 50.0 < high - low {
            power *= 10.0;
        }
        let wide = |step: &f64| *step * 8.0 >= high - low;
        let step = [1.0, 2.0, 5.0]
            .map(|times| times * power)
            .into_iter()
            .find(wide)
            .unwrap_or(10.0 * power);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let Self { low, high, step } = *self;
        (0..=20_u32)
            .map(move |n| low + f64::from(n) * step)
            .take_while(move |tick| *tick < high + step / 2.0)
    }
}

/// A number as a tick shows it: without the noise of its last bits.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_ends_around_the_values() {
        let scale = Scale::around([20.0, 250.0].into_iter());
        assert_eq!(scale, Scale { low: 0.0, high: 250.0, step: 50.0 });
        let ticks: Vec<String> = scale.ticks().map(number).collect();
        assert_eq!(ticks, ["0", "50", "100", "150", "200", "250"]);
        let ticks: Vec<String> =
            Scale::around([0.613, 0.941].into_iter()).ticks().map(number).collect();
        assert_eq!(
            (ticks.first().unwrap().as_str(), ticks.last().unwrap().as_str()),
            ("0.6", "0.95")
        );
    }

    #[test]
    fn an_axis_without_values_or_with_one_has_some_width() {
        for values in [&[][..], &[0.5], &[f64::NAN, 3.0]] {
            let scale = Scale::around(values.iter().copied());
            assert!(scale.high > scale.low && scale.ticks().count() >= 2, "{scale:?}");
        }
    }

    #[test]
    fn twenty_eight_strategies_look_different() {
        let looks: Vec<Shape> = (0..28).map(|index| line(vec![], index)).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "{index}");
        }
    }
}
