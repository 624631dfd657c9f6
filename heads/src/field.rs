//! What is wrong with one field of a file.

/// That a field of a file is not as required.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {field} must be {required}, but is {actual}")]
pub struct FieldError {
    /// The file.
    pub file: String,
    /// The field.
    pub field: String,
    /// What it must be.
    pub required: String,
    /// What it is.
    pub actual: String,
}

impl FieldError {
    pub(crate) fn new(
        file: &str,
        field: impl Into<String>,
        required: impl ToString,
        actual: impl ToString,
    ) -> Self {
        Self {
            file: file.to_owned(),
            field: field.into(),
            required: required.to_string(),
            actual: actual.to_string(),
        }
    }
}
