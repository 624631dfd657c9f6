//! What a device does of a step, part by part.

use dustin::verifier::Report;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The prompt's last queries become the target's captured ones.
    CapturePrompt,
    /// The target's map.
    TargetMap,
    /// The draft's forwards' queries are captured, then its map is gathered.
    DraftMap,
    /// Both maps, at the same time where the device can.
    BothMaps,
    /// The sets.
    Select,
    /// In every layer: the step's own rows are appended, and attention reads this.
    Layers(Reads),
    /// Which drafts are kept.
    Accept,
    /// The accepted rows move up: for trees; a chain's are where they belong.
    Compact,
    /// The last accepted rows' queries become the target's captured ones.
    Capture,
}

/// What attention reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// There is none: appending alone.
    Nothing,
    /// The sets.
    Sets,
    /// The whole cache.
    Everything,
}

/// What stands in place of attention over the whole cache.
pub(crate) const ATTENTION: [Part; 3] = [Part::BothMaps, Part::Select, Part::Layers(Reads::Sets)];

/// A whole step.
pub(crate) const STEP: [Part; 6] =
    [Part::BothMaps, Part::Select, Part::Layers(Reads::Sets), Part::Accept, Part::Compact, Part::Capture];

/// What a step has written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Results {
    /// The target's map and the draft's, packed.
    pub maps: [Vec<f32>; 2],
    /// Positions of the sets, `[batch, k]`.
    pub set: Vec<i32>,
    /// How many each has.
    pub set_sizes: Vec<i32>,
    /// Outputs of the last layer's attention.
    pub output: Vec<u16>,
    /// Accepted drafts' tokens and the next one, `[batch, rows]`.
    pub emitted: Vec<i32>,
}

/// A device with the caches, and the verifier that is made for them.
pub(crate) trait Device {
    /// Which choice serves each stage, and why.
    fn report(&self) -> &Report;

    /// Runs `parts` one behind the other, and waits.
    fn run(&mut self, parts: &[Part]) -> anyhow::Result<()>;

    /// The same from one graph, where the device has such.
    fn replay(&mut self, parts: &[Part]) -> anyhow::Result<()>;

    /// The median of several runs of `parts`, in microseconds.
    fn time(&mut self, parts: &[Part]) -> anyhow::Result<f64>;

    /// What has been written. An error if a stage has found something wrong with its arrays.
    fn results(&mut self) -> anyhow::Result<Results>;
}

/// The median of `times`, 0 of none.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
