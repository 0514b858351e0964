//! A plot of points in two measures, of both of which less is better. In SVG, with a
//! text that says the same for those who do not see it.

use std::fmt::Write as _;

use super::html::escaped;

/// As wide as a telephone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
/// Room for the numbers of both axes, for names, and for dots at the ends.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Names keep so far apart.
const LINE: f64 = 14.0;
/// Below so much, a measure is drawn as next to nothing.
const FINEST: f64 = 0.01;

pub(super) struct Dot {
    pub(super) name: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Nobody is better in both.
    pub(super) is_front: bool,
}

/// Both axes are logarithmic from [`FINEST`] on; where a value is smaller, they have a
/// place for 0. A dot without a name is told by its place alone.
pub(super) fn scatter(title: &str, [x, y]: [&str; 2], dots: &[Dot]) -> String {
    if dots.is_empty() {
        return format!(
            "<figure><figcaption>{}</figcaption><p>Nothing to draw.</p></figure>",
            escaped(title)
        );
    }
    let along = Axis::over(dots.iter().map(|dot| dot.x), LEFT, WIDTH - RIGHT);
    let up = Axis::over(dots.iter().map(|dot| dot.y), HEIGHT - BOTTOM, TOP);
    let mut drawn = String::new();
    for tick in along.ticks() {
        let at = along.at(tick);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text class=\"middle\" x=\"{at:.1}\" y=\"{}\">{tick}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        );
    }
    for tick in up.ticks() {
        let at = up.at(tick);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"figure\" x=\"{}\" y=\"{:.1}\">{tick}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = write!(
        drawn,
        "<text class=\"figure\" x=\"{}\" y=\"{}\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escaped(x)
    );
    let mut order: Vec<&Dot> = dots.iter().collect();
    order.sort_by(|a, b| up.at(a.y).total_cmp(&up.at(b.y)).then(a.x.total_cmp(&b.x)));
    for (dot, text_y) in order.iter().zip(spread(&order, &up)) {
        let (cx, cy) = (along.at(dot.x), up.at(dot.y));
        let is_right = cx > WIDTH * 0.6;
        let _ = write!(
            drawn,
            "<g class=\"{}\"><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\"/>\
             <text{} x=\"{:.1}\" y=\"{text_y:.1}\">{}</text></g>",
            if dot.is_front { "front" } else { "beaten" },
            if is_right { " class=\"figure\"" } else { "" },
            if is_right { cx - 9.0 } else { cx + 9.0 },
            escaped(&dot.name)
        );
    }
    let told = dots.iter().map(|dot| {
        let place = if dot.is_front { ", on the front" } else { "" };
        format!("{}: {:.2} and {:.3}{place}", dot.name, dot.x, dot.y)
    });
    let told = format!("{title}. {}", told.collect::<Vec<_>>().join("; "));
    format!(
        "<figure><figcaption>{}; up: {}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" aria-label=\"{}\">{drawn}</svg></figure>",
        escaped(title),
        escaped(y),
        escaped(&told)
    )
}

/// Where names stand, from the top, so that none covers another.
fn spread(order: &[&Dot], up: &Axis) -> Vec<f64> {
    let mut places: Vec<f64> = order.iter().map(|dot| up.at(dot.y) + 4.0).collect();
    // From the bottom up: the last stays, the others make room.
    let mut below = HEIGHT - BOTTOM + LINE;
    for (place, _) in places.iter_mut().zip(order).rev().filter(|(_, dot)| !dot.name.is_empty()) {
        *place = place.min(below - LINE);
        below = *place;
    }
    places
}

/// From the power of ten below the smallest value, or from nothing, to the largest.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, largest) = values
            .fold((f64::MAX, FINEST), |(least, most), value| (least.min(value), most.max(value)));
        let least = if least < FINEST { 0.0 } else { 10.0_f64.powf(least.log10().floor()) };
        let most = scaled(largest) + (scaled(largest) - scaled(least)).max(FINEST) * 0.05;
        Self { least: scaled(least), most, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (scaled(value) - self.least) / (self.most - self.least);
        self.from + (self.to - self.from) * part.clamp(0.0, 1.0)
    }

    /// 0 if it is there, and the powers of ten up to the largest value.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-2..=9).map(|power| 10.0_f64.powi(power));
        let ticks = [0.0].into_iter().chain(powers);
        ticks.filter(|tick| (self.least..=self.most).contains(&scaled(*tick))).collect()
    }
}

/// Linear near 0, logarithmic above.
fn scaled(value: f64) -> f64 {
    (1.0 + value.max(0.0) / FINEST).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(name: &str, x: f64, y: f64) -> Dot {
        Dot { name: name.to_owned(), x, y, is_front: y == 0.0 }
    }

    #[test]
    fn names_that_would_cover_each_other_are_moved_apart() {
        let dots = [dot("a", 2.0, 0.0), dot("", 2.0, 0.0), dot("b", 2.0, 0.0), dot("c", 60.0, 0.0)];
        let order: Vec<&Dot> = dots.iter().collect();
        let up = Axis::over([0.0].into_iter(), HEIGHT - BOTTOM, TOP);
        let places = spread(&order, &up);
        assert!(places[2] - places[0] >= LINE && places[3] - places[2] >= LINE, "{places:?}");
        assert_eq!(places[1], up.at(0.0) + 4.0, "who has no name needs no room");
    }

    #[test]
    fn an_axis_begins_below_the_smallest_value() {
        let axis = |values: [f64; 2]| Axis::over(values.into_iter(), 0.0, 100.0).ticks();
        assert_eq!(axis([25.0, 168.0]), [10.0, 100.0]);
        assert_eq!(axis([0.0, 0.3]), [0.0, 0.01, 0.1]);
        assert_eq!(Axis::over([10.0, 168.0].into_iter(), 0.0, 100.0).at(10.0), 0.0);
    }

    #[test]
    fn a_plot_says_in_words_what_it_shows() {
        let plot = scatter("t", ["x", "y"], &[dot("<a>", 2.0, 0.0), dot("b", 30.0, 1.5)]);
        assert!(
            plot.contains("&lt;a&gt;: 2.00 and 0.000, on the front; b: 30.00 and 1.500"),
            "{plot}"
        );
        assert!(!plot.contains("<a>") && plot.contains("role=\"img\""), "{plot}");
        assert!(scatter("t", ["x", "y"], &[]).contains("Nothing to draw"));
    }
}
