//! Recorded spaces: files that hold every configuration of a space with its times.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use super::journal;
use crate::search::{Space, Value, median};

/// How a column of parameters begins; its name follows.
const PARAMETER: &str = "param:";

/// How a column of times in milliseconds begins; its number follows.
const SAMPLE: &str = "sample_ms_";

/// What the first bytes of a compressed file are.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A space and what was measured of it.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The file's name without its endings.
    pub(crate) name: String,
    /// The configurations.
    pub(crate) space: Space,
    /// The times of each configuration, in milliseconds, as they were taken; none if it failed.
    pub(crate) samples: Vec<Vec<f64>>,
    /// Median of each configuration; nothing if it failed.
    pub(crate) medians: Vec<Option<f64>>,
    /// The least median.
    pub(crate) optimum: f64,
}

/// Why a file is no recorded space.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// It cannot be read at all.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// It begins as a compressed file but does not go on as one.
    #[error("{file} is a compressed file that was cut or damaged ({reason}): fetch it again")]
    Damaged {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// It is a table of something else, or no table.
    #[error(
        "{file} is no recorded space: {reason}; expected CSV with a column param:NAME for each parameter and columns \
         sample_ms_0, sample_ms_1 … of times in milliseconds"
    )]
    Foreign {
        /// The file.
        file: String,
        /// What is missing.
        reason: String,
    },
    /// It is a tuner's journal in which nothing is.
    #[error("{file} is a journal in which nothing was timed: tune first, or name another file")]
    Untimed {
        /// The file.
        file: String,
    },
    /// A row cannot be understood.
    #[error("{file}, line {line}: {reason}")]
    Row {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: u64,
        /// What was expected and what is there.
        reason: String,
    },
}

impl Recording {
    /// Reads the recorded spaces at `path`: one of CSV, or those of a tuner's journal; either may be compressed with gzip.
    ///
    /// Columns of neither kind are passed over. A configuration without any time is one that failed; one that stands in
    /// several rows has the times of all of them.
    ///
    /// # Errors
    /// The file cannot be read, was cut or damaged, or is no recorded space.
    pub(crate) fn read(path: &Path) -> Result<Vec<Self>, RecordingError> {
        let file = path.display().to_string();
        let unreadable = |source| RecordingError::Unreadable { file: file.clone(), source };
        let bytes = fs::read(path).map_err(unreadable)?;
        let bytes = if bytes.starts_with(&GZIP) { unpack(&bytes, &file)? } else { bytes };
        if journal::is_one(&bytes) {
            return journal::recordings(&bytes, &file);
        }
        Self::parse(name(path), &bytes, &file).map(|one| vec![one])
    }

    fn parse(name: String, bytes: &[u8], file: &str) -> Result<Self, RecordingError> {
        let foreign = |reason: &str| RecordingError::Foreign { file: file.into(), reason: reason.into() };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(foreign("it is empty"));
        }
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(|_| foreign("its first line is no text"))?.clone();
        let parameters = columns(&header, PARAMETER);
        let times = columns(&header, SAMPLE);
        for (kind, found) in [(PARAMETER, &parameters), (SAMPLE, &times)] {
            if found.is_empty() {
                return Err(foreign(&format!("it has no column {kind}…")));
            }
        }
        let (mut points, mut samples) = (Vec::new(), Vec::<Vec<f64>>::new());
        let mut known = HashMap::<Vec<String>, usize>::new();
        for row in reader.records() {
            let row = row.map_err(|error| broken(&error, file))?;
            let line = row.position().map_or(0, csv::Position::line);
            let at = |reason| RecordingError::Row { file: file.into(), line, reason };
            let words: Vec<&str> = parameters.iter().map(|&column| row[column].trim()).collect();
            if let Some(empty) = words.iter().position(|word| word.is_empty()) {
                return Err(at(format!("{} has no value", &header[parameters[empty]])));
            }
            let taken = read_times(&row, &header, &times).map_err(at)?;
            let point: Vec<Value> = words.into_iter().map(Value::of).collect();
            let spelt: Vec<String> = point.iter().map(ToString::to_string).collect();
            match known.get(&spelt) {
                Some(&earlier) => samples[earlier].extend(taken),
                None => {
                    known.insert(spelt, points.len());
                    points.push(point);
                    samples.push(taken);
                }
            }
        }
        Self::new(name, Space::new(&points), samples).ok_or_else(|| foreign("none of its rows has a time"))
    }

    /// The recording of these times, in milliseconds, of the points of `space`; nothing if there are none.
    pub(super) fn new(name: String, space: Space, samples: Vec<Vec<f64>>) -> Option<Self> {
        let medians: Vec<Option<f64>> = samples.iter().map(|taken| median(taken)).collect();
        let optimum = medians.iter().copied().flatten().min_by(f64::total_cmp)?;
        Some(Self { name, space, samples, medians, optimum })
    }
}

impl Value {
    fn of(word: &str) -> Self {
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Self::Number(number),
            _ => Self::Word(word.into()),
        }
    }
}

/// The name without folder and without the endings of compression and format.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".csv").unwrap_or(name).into()
}

fn unpack(bytes: &[u8], file: &str) -> Result<Vec<u8>, RecordingError> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(bytes).read_to_end(&mut unpacked);
    match read {
        Ok(_) => Ok(unpacked),
        Err(error) => Err(RecordingError::Damaged { file: file.into(), reason: error.to_string() }),
    }
}

/// The columns whose names begin with `kind` and go on.
fn columns(header: &StringRecord, kind: &str) -> Vec<usize> {
    let is_one = |name: &str| name.trim().strip_prefix(kind).is_some_and(|rest| !rest.is_empty());
    (0..header.len()).filter(|&column| is_one(&header[column])).collect()
}

/// The times of a row; an empty cell holds none.
fn read_times(row: &StringRecord, header: &StringRecord, columns: &[usize]) -> Result<Vec<f64>, String> {
    let filled = columns.iter().filter(|&&column| !row[column].trim().is_empty());
    filled
        .map(|&column| match row[column].trim().parse::<f64>() {
            Ok(time) if time.is_finite() && time > 0.0 => Ok(time),
            _ => Err(format!(
                "{} is {:?}, expected a positive number of milliseconds, or nothing if the configuration failed",
                &header[column], &row[column]
            )),
        })
        .collect()
}

/// What is wrong with a row that the reader refuses.
fn broken(error: &csv::Error, file: &str) -> RecordingError {
    let line = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells where the first line has {expected_len}; the file may have been cut")
        }
        csv::ErrorKind::Utf8 { .. } => "it is no text".into(),
        _ => error.to_string(),
    };
    RecordingError::Row { file: file.into(), line, reason }
}
