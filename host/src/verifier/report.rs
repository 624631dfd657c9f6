//! Which choice serves each stage, and why.

use std::{borrow::Cow, fmt};

use crate::{
    InvalidInput,
    profile::{Catalogue, Choice, DeviceId, KernelKey, Key, Launch, Policy, Source, Tuned, Warning},
    verifier::{Gather, Stage},
};

/// What serves the stages of a verifier, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Each stage and what serves it.
    pub stages: Vec<(Stage, Served)>,
}

/// What serves a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Served {
    /// A choice that profiles make.
    Chosen(Box<Chosen>),
    /// The built-in default, where profiles have no entries.
    Fixed {
        /// What is launched: of several kernels one after the other, with a `+` between them.
        variant: Cow<'static, str>,
        /// Why this one, and why no profile chooses it.
        reason: &'static str,
    },
    /// Nothing, and why.
    Idle {
        /// The reason.
        reason: &'static str,
    },
}

/// A choice that profiles make, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The bucket that was looked up.
    pub key: Key,
    /// What is launched.
    pub choice: Choice,
    /// Where the choice comes from.
    pub source: Source,
    /// Whether a person wrote or changed the profile's entry.
    pub manual: bool,
    /// Why it is nothing better: empty for an exact answer.
    pub misses: Vec<Warning>,
}

impl Served {
    /// The kernel `variant` that copies, or what copies on a CPU.
    #[must_use]
    pub const fn copies(variant: &'static str) -> Self {
        Self::Fixed { variant: Cow::Borrowed(variant), reason: "as a copy leaves nothing to tune" }
    }
}

impl Report {
    /// What serves `stage`.
    #[must_use]
    pub fn served(&self, stage: Stage) -> Option<&Served> {
        self.stages.iter().find(|(known, _)| *known == stage).map(|(_, served)| served)
    }

    /// Whether each stage that profiles choose for has an entry of its very bucket.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let exact =
            |served: &Served| !matches!(served, Served::Chosen(chosen) if chosen.source != Source::Exact);
        self.stages.iter().all(|(_, served)| exact(served))
    }
}

/// A line for each stage, and one below it for each reason why it is nothing better.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (stage, served)) in self.stages.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{stage:<14} {served}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle { reason } => write!(f, "nothing to launch: {reason}"),
            Self::Fixed { variant, reason } => write!(f, "{variant}: built-in default, {reason}"),
            Self::Chosen(chosen) => chosen.fmt(f),
        }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Launch { fold, splits, cluster, threads } = &self.choice.launch;
        f.write_str(&self.choice.variant)?;
        if let Some(fold) = fold {
            write!(f, " fold={fold}")?;
        }
        for (name, figure) in [("splits", splits), ("cluster", cluster), ("threads", threads)] {
            if let Some(figure) = figure {
                write!(f, " {name}={figure}")?;
            }
        }
        match &self.source {
            Source::Exact => f.write_str(": tuned for this bucket")?,
            Source::Near { distance } => write!(f, ": tuned for a bucket {distance:.2} away")?,
            Source::OtherGpu { name, distance } => {
                write!(f, ": tuned on {name} for a bucket {distance:.2} away")?;
            }
            Source::Default => f.write_str(": built-in default")?,
        }
        f.write_str(if self.manual { ", edited by hand" } else { "" })?;
        self.misses.iter().try_for_each(|miss| write!(f, "\n{:15}{miss}", ""))
    }
}

/// Looks choices up and takes down what was found.
pub(crate) struct LookUp<'a, C> {
    tuned: &'a Tuned<C>,
    device: &'a DeviceId,
    report: Report,
}

impl<'a, C: Catalogue> LookUp<'a, C> {
    pub(crate) const fn new(tuned: &'a Tuned<C>, device: &'a DeviceId) -> Self {
        Self { tuned, device, report: Report { stages: Vec::new() } }
    }

    /// The choice for a stage's problem, read by `read` as a point of the tuning space.
    ///
    /// # Errors
    /// No variant serves the problem.
    pub(crate) fn choose<T>(
        &mut self,
        stage: Stage,
        problem: impl Into<KernelKey>,
        read: fn(&Choice) -> Option<T>,
    ) -> Result<T, InvalidInput> {
        let kernel = problem.into();
        let key = Key::of(kernel, self.device, Policy::of(kernel.kernel(), self.device));
        let found = self.tuned.find(&key)?;
        let point = read(&found.choice).ok_or_else(|| {
            InvalidInput::new(stage.name(), "choice", "a point of the tuning space", &found.choice.variant)
        })?;
        let chosen = Chosen {
            choice: found.choice.into_owned(),
            manual: found.entry.is_some_and(|entry| entry.is_manual()),
            source: found.source,
            misses: found.misses,
            key,
        };
        self.note(stage, Served::Chosen(Box::new(chosen)));
        Ok(point)
    }

    /// Takes down what serves a stage that profiles do not choose for.
    pub(crate) fn note(&mut self, stage: Stage, served: Served) {
        self.report.stages.push((stage, served));
    }

    /// Takes down why a stage that gathers a map has nothing to launch, if so.
    pub(crate) fn note_idle<T>(&mut self, stage: Stage, gather: &Gather<T>) {
        let reason = match gather {
            Gather::Unread => "no set depends on it",
            Gather::Zero => "this rank has none of its heads, its share is zero",
            Gather::Heads(_) => return,
        };
        self.note(stage, Served::Idle { reason });
    }

    /// Takes down that the verifier does not accept drafts.
    pub(crate) fn note_unaccepted(&mut self) {
        self.note(Stage::Acceptance, Served::Idle { reason: "the engine accepts drafts itself" });
    }

    /// Takes down what serves a stage that captures queries for a map, `served` unless there is nothing to launch.
    pub(crate) fn note_capture<T>(&mut self, stage: Stage, gather: &Gather<T>, served: Served) {
        match gather {
            Gather::Unread => self.note(stage, Served::Idle { reason: "no set depends on the map" }),
            Gather::Zero => {
                self.note(stage, Served::Idle { reason: "this rank has none of the map's heads" })
            }
            Gather::Heads(_) => self.note(stage, served),
        }
    }

    pub(crate) fn report(self) -> Report {
        self.report
    }
}
