//! Places on the earth as scores of sorted sets, as Redis encodes them.
//!
//! Longitude and latitude are each divided into 2^26 steps, whose numbers are interleaved into 52
//! bits: these fit the 53 bits of a score exactly. Places whose first bits are equal lie in the same
//! box, so the places of a box are a range of scores.

use std::f64::consts::FRAC_PI_2;

/// Longitudes that can be encoded, in degrees: from minus to plus this.
pub const LONGITUDE_MAX: f64 = 180.0;
/// Latitudes that can be encoded, in degrees: from minus to plus this (EPSG:3857, the limit of the
/// Mercator projection).
pub const LATITUDE_MAX: f64 = 85.051_128_78;
/// The latitudes that the text form of a geohash covers, in degrees.
const TEXT_LATITUDE_MAX: f64 = 90.0;
/// Radius of the earth, in metres.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Half of the width of the map in the Mercator projection, in metres.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// Bits of each coordinate.
const STEPS_MAX: u32 = 26;
/// Bits of a geohash.
const BITS: u32 = 2 * STEPS_MAX;
/// The digits of the text form of a geohash.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Length of the text form of a geohash.
const TEXT_LENGTH: u32 = 11;

/// A place on the earth.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Degrees, eastward.
    pub longitude: f64,
    /// Degrees, northward.
    pub latitude: f64,
}

impl Place {
    /// Returns `None` if the place cannot be encoded.
    #[must_use]
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let fits = |degrees: f64, max: f64| (-max..=max).contains(&degrees);
        (fits(longitude, LONGITUDE_MAX) && fits(latitude, LATITUDE_MAX))
            .then_some(Self { longitude, latitude })
    }

    /// The score of a member at this place: an integer of 52 bits.
    #[must_use]
    pub fn score(self) -> f64 {
        self.cell(STEPS_MAX, LATITUDE_MAX).bits() as f64
    }

    /// The centre of the smallest box that a score represents.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        // Computed as in Redis, also for scores that represent no place.
        let cell = Cell::of_bits((score as i64).cast_unsigned(), STEPS_MAX);
        let [west, south, east, north] = cell.edges();
        let middle = |low: f64, high: f64, max: f64| f64::midpoint(low, high).clamp(-max, max);
        Self {
            longitude: middle(west, east, LONGITUDE_MAX),
            latitude: middle(south, north, LATITUDE_MAX),
        }
    }

    /// Great-circle distance in metres (haversine formula).
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let half_sine = |from: f64, to: f64| ((to.to_radians() - from.to_radians()) / 2.0).sin();
        let east = half_sine(self.longitude, other.longitude);
        if east == 0.0 {
            return latitude_distance_m(self.latitude, other.latitude);
        }
        let north = half_sine(self.latitude, other.latitude);
        let cosines = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        2.0 * EARTH_RADIUS_M * (north * north + cosines * east * east).sqrt().asin()
    }

    /// The geohash of this place as text, as on geohash.org: 11 digits, of which the last is always
    /// zero, since it would need more bits than there are.
    #[must_use]
    pub fn text(self) -> String {
        let bits = self.cell(STEPS_MAX, TEXT_LATITUDE_MAX).bits();
        let digit = |at: u32| {
            let index = BITS.checked_sub((at + 1) * 5).map_or(0, |shift| bits >> shift & 0x1F);
            char::from(DIGITS[index as usize])
        };
        (0..TEXT_LENGTH).map(digit).collect()
    }

    /// The box that it lies in, with `steps` bits of each coordinate. A place at the greatest longitude
    /// or latitude is beyond the last column or row.
    fn cell(self, steps: u32, latitude_max: f64) -> Cell {
        let number = |degrees: f64, max: f64| {
            let share = (degrees + max) / (2.0 * max);
            (share * f64::from(1_u32 << steps)) as u32
        };
        Cell {
            column: number(self.longitude, LONGITUDE_MAX),
            row: number(self.latitude, latitude_max),
            steps,
        }
    }
}

/// Distance of two latitudes along a meridian, in metres.
fn latitude_distance_m(from: f64, to: f64) -> f64 {
    EARTH_RADIUS_M * (to.to_radians() - from.to_radians()).abs()
}

/// One of the boxes that the map is divided into: 2^`steps` columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    column: u32,
    row: u32,
    steps: u32,
}

/// Spreads the bits of a number: bit n becomes bit 2n.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The inverse of [`spread`]; odd bits are ignored.
fn gather(bits: u64) -> u32 {
    let mut number = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ] {
        number = (number | number >> shift) & mask;
    }
    number as u32
}

impl Cell {
    fn bits(self) -> u64 {
        spread(self.row) | spread(self.column) << 1
    }

    fn of_bits(bits: u64, steps: u32) -> Self {
        Self { column: gather(bits >> 1), row: gather(bits), steps }
    }

    /// Its edges in degrees: west, south, east, north.
    fn edges(self) -> [f64; 4] {
        let edge =
            |number: f64, max: f64| -max + number / f64::from(1_u32 << self.steps) * (2.0 * max);
        let (column, row) = (f64::from(self.column), f64::from(self.row));
        [
            edge(column, LONGITUDE_MAX),
            edge(row, LATITUDE_MAX),
            edge(column + 1.0, LONGITUDE_MAX),
            edge(row + 1.0, LATITUDE_MAX),
        ]
    }

    /// The neighbour at this offset in columns (east) and rows (north); beyond an edge of the map
    /// it is at the opposite edge.
    fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = (1 << self.steps) - 1;
        Self {
            column: self.column.wrapping_add_signed(east) & mask,
            row: self.row.wrapping_add_signed(north) & mask,
            steps: self.steps,
        }
    }

    /// Whether it and its neighbours contain all places between these edges.
    fn reaches(self, [west, south, east, north]: [f64; 4]) -> bool {
        let edges = self.edges();
        let (width, height) = (edges[2] - edges[0], edges[3] - edges[1]);
        edges[0] - width <= west
            && edges[1] - height <= south.max(-LATITUDE_MAX)
            && edges[2] + width >= east
            && edges[3] + height >= north.min(LATITUDE_MAX)
    }

    /// The same box, or the last one of the map if it is beyond it.
    fn on_map(self) -> Self {
        let last = (1 << self.steps) - 1;
        Self { column: self.column.min(last), row: self.row.min(last), steps: self.steps }
    }

    /// The box, and those beyond the map that it touches, whose places are at the greatest longitude
    /// or latitude.
    fn with_limits(self) -> impl Iterator<Item = Self> {
        let last = (1 << self.steps) - 1;
        let columns = self.column..=self.column + u32::from(self.column == last);
        let rows = self.row..=self.row + u32::from(self.row == last);
        columns.flat_map(move |column| rows.clone().map(move |row| Self { column, row, ..self }))
    }

    /// The range of scores of places in the box; the end is exclusive.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS_MAX - self.steps);
        ((self.bits() << shift) as f64, ((self.bits() + 1) << shift) as f64)
    }
}

/// An area around a centre. Lengths are in any unit.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Shape {
    /// A circle.
    Circle {
        /// Its radius.
        radius: f64,
    },
    /// A box whose edges go along meridians and parallels.
    Box {
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
    },
}

/// An area on the earth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) centre: Place,
    pub(crate) shape: Shape,
    /// Metres of one unit of the lengths of the shape.
    pub(crate) unit_m: f64,
}

impl Area {
    /// The distance of a place from the centre in metres, if the place is in the area.
    pub(crate) fn contains(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.centre.distance_m(place);
                (distance <= radius * self.unit_m).then_some(distance)
            }
            Shape::Box { width, height } => {
                let across = Place { longitude: self.centre.longitude, ..place };
                let is_within = latitude_distance_m(self.centre.latitude, place.latitude)
                    <= height * self.unit_m / 2.0
                    && place.distance_m(across) <= width * self.unit_m / 2.0;
                is_within.then(|| self.centre.distance_m(place))
            }
        }
    }

    /// The edges of a box that contains the area, in degrees: west, south, east, north. They may be
    /// beyond those of the map.
    fn bounds(&self) -> [f64; 4] {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Place { longitude, latitude } = self.centre;
        let north = (height * self.unit_m / EARTH_RADIUS_M).to_degrees();
        let farthest = (latitude.abs() + north).min(LATITUDE_MAX).to_radians();
        // The haversine formula for two places at the parallel of the area that is shortest.
        let sine = (width * self.unit_m / EARTH_RADIUS_M / 2.0).min(FRAC_PI_2).sin();
        let east = 2.0 * (sine / farthest.cos()).min(1.0).asin().to_degrees();
        [longitude - east, latitude - north, longitude + east, latitude + north]
    }

    /// The edges of a box around the area as Redis computes them, in degrees: west, south, east,
    /// north. Near the poles they may be too narrow.
    fn edges(&self) -> [f64; 4] {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Place { longitude, latitude } = self.centre;
        let north = (height * self.unit_m / EARTH_RADIUS_M).to_degrees();
        // A degree of longitude is shortest at the edge that is nearer to its pole.
        let edge = if latitude < 0.0 { latitude - north } else { latitude + north };
        let radians = width * self.unit_m / EARTH_RADIUS_M / edge.to_radians().cos();
        let east = radians.to_degrees();
        [longitude - east, latitude - north, longitude + east, latitude + north]
    }

    /// Bits of each coordinate so that a box and its neighbours probably cover the area.
    fn steps(&self) -> u32 {
        let half = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => (width / 2.0).hypot(height / 2.0),
        };
        let mut range_m = half * self.unit_m;
        if range_m <= 0.0 {
            return STEPS_MAX;
        }
        let mut steps = -1_i32;
        while range_m < MERCATOR_MAX_M && steps < STEPS_MAX as i32 + 4 {
            range_m *= 2.0;
            steps += 1;
        }
        // Boxes are narrower towards the poles.
        let latitude = self.centre.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, STEPS_MAX as i32).cast_unsigned()
    }

    /// Ranges of scores (the second is exclusive) that contain all places of the area: the box
    /// around the centre, and up to eight others around it, each with its limits. Disjoint, in the order
    /// in which Redis searches them. Where those of Redis would miss places, near the poles, the boxes are
    /// larger.
    pub(crate) fn scores(&self) -> Vec<(f64, f64)> {
        let [west, south, east, north] = self.edges();
        let mut steps = self.steps();
        let mut middle = self.centre.cell(steps, LATITUDE_MAX).on_map();
        // If the centre is close to an edge of its box, the neighbour may not reach far enough.
        let is_covered = middle.neighbour(0, 1).edges()[3] >= north
            && middle.neighbour(0, -1).edges()[1] <= south
            && middle.neighbour(1, 0).edges()[2] >= east
            && middle.neighbour(-1, 0).edges()[0] <= west;
        if steps > 1 && !is_covered {
            steps -= 1;
            middle = self.centre.cell(steps, LATITUDE_MAX).on_map();
        }
        let bounds = self.bounds();
        while steps > 1 && !middle.reaches(bounds) {
            steps -= 1;
            middle = self.centre.cell(steps, LATITUDE_MAX).on_map();
        }
        let edges = middle.edges();
        let is_needed = |(to_east, to_north): (i32, i32)| {
            let ends_before = |[west, south, east, north]: [f64; 4]| {
                (to_north < 0 && edges[1] < south)
                    || (to_north > 0 && edges[3] > north)
                    || (to_east < 0 && edges[0] < west)
                    || (to_east > 0 && edges[2] > east)
            };
            steps < 2 || !(ends_before([west, south, east, north]) && ends_before(bounds))
        };
        let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = Vec::with_capacity(around.len());
        for way in around.into_iter().filter(|way| is_needed(*way)) {
            let cell = middle.neighbour(way.0, way.1);
            // In a very large area, opposite neighbours may be equal.
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells.into_iter().flat_map(Cell::with_limits).map(Cell::scores).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(longitude: f64, latitude: f64) -> Place {
        Place::new(longitude, latitude).unwrap()
    }

    #[test]
    fn scores_texts_and_distances_are_those_of_redis() {
        let (palermo, catania) = (place(13.361389, 38.115556), place(15.087269, 37.502669));
        assert_eq!(palermo.score() as u64, 3_479_099_956_230_698);
        assert_eq!(catania.score() as u64, 3_479_447_370_796_909);
        let stored = Place::of_score(palermo.score());
        assert_eq!(format!("{:.17}", stored.longitude), "13.36138933897018433");
        assert_eq!(format!("{:.17}", stored.latitude), "38.11555639549629859");
        assert_eq!(stored.text(), "sqc8b49rny0");
        let distance = stored.distance_m(Place::of_score(catania.score()));
        assert_eq!(format!("{distance:.4}"), "166274.1516");
    }

    #[test]
    fn places_outside_the_map_have_no_score() {
        assert!(Place::new(180.0, 85.051_128_78).is_some());
        assert!(Place::new(180.1, 0.0).is_none());
        assert!(Place::new(0.0, -85.06).is_none());
        assert!(Place::new(f64::NAN, 0.0).is_none());
    }

    fn places() -> impl Strategy<Value = Place> {
        (-180.0..=180.0, -LATITUDE_MAX..=LATITUDE_MAX)
            .prop_map(|(longitude, latitude)| Place { longitude, latitude })
    }

    #[test]
    fn places_at_the_limits_of_the_map_are_in_areas_around_them() {
        let (east, north) = (LONGITUDE_MAX, LATITUDE_MAX);
        for (longitude, latitude) in [
            (0.0, north),
            (0.0, -north),
            (east, 10.0),
            (-east, 10.0),
            (east, north),
            (east, -north),
        ] {
            let score = place(longitude, latitude).score();
            let stored = Place::of_score(score);
            let near = place(longitude * 0.9999, latitude * 0.9999);
            let opposite = place(-longitude, latitude);
            for (centre, radius) in
                [(stored, 0.0), (stored, 5e4), (near, 5e4), (opposite, 5e4), (stored, 5e6)]
            {
                for shape in [
                    Shape::Circle { radius },
                    Shape::Box { width: 2.0 * radius, height: 2.0 * radius },
                ] {
                    let area = Area { centre, shape, unit_m: 1.0 };
                    if area.contains(stored).is_some() {
                        let found =
                            area.scores().iter().any(|(from, to)| (*from..*to).contains(&score));
                        assert!(found, "{stored:?} from {centre:?}, {shape:?}");
                    } else {
                        // At a length of 0, the other side of the map is farther by rounding.
                        assert!(centre != stored && centre != near, "{stored:?} from {centre:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_score_stands_for_a_place_nearby(place in places()) {
            let stored = Place::of_score(place.score());
            prop_assert!(place.distance_m(stored) < 1.0);
        }

        #[test]
        fn bits_are_spread_and_gathered(number in any::<u32>()) {
            prop_assert_eq!(gather(spread(number)), number);
            prop_assert_eq!(gather(spread(number) << 1), 0);
        }

        #[test]
        fn any_score_and_area_do_no_harm(
            bits in any::<u64>(), lengths in any::<[u64; 3]>(), is_circle in any::<bool>(),
        ) {
            let centre = Place::of_score(f64::from_bits(bits));
            let [a, b, unit_m] = lengths.map(|bits| f64::from_bits(bits).abs());
            let shape =
                if is_circle { Shape::Circle { radius: a } } else { Shape::Box { width: a, height: b } };
            let area = Area { centre, shape, unit_m };
            prop_assert!(!area.scores().is_empty());
        }

        #[test]
        fn the_ranges_of_an_area_contain_its_places(
            centre in places(),
            radius in (0.0..16.0).prop_map(|power| 10_f64.powf(power / 2.0)),
            (width, height) in (0.01..2.0, 0.01..2.0),
            others in proptest::collection::vec((-2.0_f64..=2.0, -2.0_f64..=2.0), 20),
        ) {
            let circle = Shape::Circle { radius };
            let rectangle = Shape::Box { width: radius * width, height: radius * height };
            for (shape, (east, north)) in others.into_iter().flat_map(|to| [(circle, to), (rectangle, to)]) {
                let area = Area { centre, shape, unit_m: 1.0 };
                let scale = (radius / EARTH_RADIUS_M).to_degrees();
                let longitude = centre.longitude + east * scale / centre.latitude.to_radians().cos();
                let other = Place {
                    longitude: (longitude + 180.0).rem_euclid(360.0) - 180.0,
                    latitude: (centre.latitude + north * scale).clamp(-LATITUDE_MAX, LATITUDE_MAX),
                };
                let score = other.score();
                if area.contains(Place::of_score(score)).is_some() {
                    let is_found = area.scores().iter().any(|(from, to)| (*from..*to).contains(&score));
                    prop_assert!(is_found, "{:?}", (area, other));
                }
            }
        }
    }
}
