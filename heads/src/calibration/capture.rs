//! A capture as a whole: opened, validated, and read a layer of a prompt at a time.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use dustin::geometry::parse_config;
use safetensors::Dtype;

use super::{
    CalibrationError, Metadata, Model, ModelRole, Prompt, PromptRole, Tensor, check,
    file::Bytes,
    metadata::{Element, VERSION},
    source::Source,
};
use crate::field::FieldError;

/// A capture whose metadata, headers and token numbers are as the layout has them.
#[derive(Debug)]
pub struct Capture {
    source: Source,
    metadata: Metadata,
    /// Tensors whose items were found finite: a search reads a layer once for each of its heads.
    known_finite: Mutex<HashSet<String>>,
}

/// What was kept of one layer of one prompt. All numbers in it are finite.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Post-RoPE queries of positions `first_query ..`, `[heads, N - F, head_dim]`.
    pub queries: Tensor,
    /// Post-RoPE keys of all positions, `[kv_heads, N, head_dim]`.
    pub keys: Tensor,
    /// Values of all positions, `[kv_heads, N, head_dim]`, if they were kept.
    pub values: Option<Tensor>,
}

impl Capture {
    /// Opens the capture at `path`: a safetensors file, an index, or the folder of one. Headers and tokens are read, no more.
    ///
    /// # Errors
    /// What the layout does not allow, but for numbers that are not finite and altered bytes.
    pub fn open(path: &Path) -> Result<Self, CalibrationError> {
        let (source, text) = Source::open(path)?;
        Self::validated(source, &text)
    }

    /// The capture that the bytes of a single file hold; `name` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, CalibrationError> {
        let (source, text) = Source::single(name.to_owned(), Arc::new(Bytes::Owned(bytes)))?;
        Self::validated(source, &text)
    }

    fn validated(source: Source, text: &str) -> Result<Self, CalibrationError> {
        let file = source.name().to_owned();
        let unlike = |error: serde_json::Error| CalibrationError::Metadata {
            file: file.clone(),
            message: error.to_string(),
        };
        // The version first: another one may have other fields.
        let value: serde_json::Value = serde_json::from_str(text).map_err(unlike)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(actual) => return Err(CalibrationError::Version { file, actual }),
            None => {
                return Err(CalibrationError::Metadata { file, message: "missing field `version`".into() });
            }
        }
        let metadata: Metadata = serde_json::from_value(value).map_err(unlike)?;
        check::metadata(&file, &metadata)?;
        source.require_members(&metadata.capture)?;
        let capture = Self { source, metadata, known_finite: Mutex::default() };
        check::tensors(&capture)?;
        Ok(capture)
    }

    /// What the capture is called in messages: its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// What the capture says of itself.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// SHA-256 of the single file or of the index, in hexadecimal: what profiles name the capture by. Reads all of a single file.
    #[must_use]
    pub fn digest(&self) -> String {
        self.source.digest()
    }

    /// Refuses shards whose bytes are not those that the index states. Reads all of them; a single file states nothing.
    ///
    /// # Errors
    /// [`CalibrationError::Digest`], or a shard cannot be read.
    pub fn check_digests(&self) -> Result<(), CalibrationError> {
        self.source.check_digests()
    }

    /// Refuses a capture whose model in `role` is not that of the `config.json` whose text is `config`; `name` is for messages.
    ///
    /// # Errors
    /// [`CalibrationError::Swapped`] if it is the other model's, a field of the geometry if it is neither's, or the text states no
    /// geometry, or the capture has no such model.
    pub fn require_config(&self, role: ModelRole, name: &str, config: &[u8]) -> Result<(), CalibrationError> {
        let file = self.name().to_owned();
        let geometry = parse_config(config).map_err(|source| CalibrationError::Config {
            file: file.clone(),
            role,
            source,
        })?;
        let model = self.model(role)?;
        if model.geometry == geometry {
            return Ok(());
        }
        let mut others = self.metadata.models().filter(|&(other, _)| other != role);
        if let Some((other, _)) = others.find(|(_, other)| other.geometry == geometry) {
            return Err(CalibrationError::Swapped { file, role, config: name.to_owned(), other });
        }
        check::same_geometry(&file, role, &format!("as {name}"), geometry, model.geometry)
    }

    /// The model in `role`.
    ///
    /// # Errors
    /// The capture has no draft model.
    pub fn model(&self, role: ModelRole) -> Result<&Model, CalibrationError> {
        let missing = || FieldError::new(self.name(), role.to_string(), "captured", "missing").into();
        self.metadata.model(role).ok_or_else(missing)
    }

    /// A prompt.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn prompt(&self, prompt: u32) -> Result<&Prompt, CalibrationError> {
        let prompts = &self.metadata.prompts;
        prompts.get(prompt as usize).ok_or_else(|| {
            FieldError::new(self.name(), "prompt", format!("below {}", prompts.len()), prompt).into()
        })
    }

    /// The numbers of the prompts with `role`, at least one.
    ///
    /// # Errors
    /// There is none.
    pub fn require_prompts(&self, role: PromptRole) -> Result<Vec<u32>, CalibrationError> {
        let prompts: Vec<u32> = self.metadata.prompts_of(role).collect();
        if prompts.is_empty() {
            return Err(CalibrationError::NoPrompt { file: self.name().to_owned(), role });
        }
        Ok(prompts)
    }

    /// Refuses a prompt without a verification step of `gamma` draft tokens.
    ///
    /// # Errors
    /// There is no such prompt, or its continuation is too short.
    pub fn require_steps(&self, prompt: u32, gamma: u32) -> Result<(), CalibrationError> {
        let found = self.prompt(prompt)?;
        if found.steps(gamma).is_empty() {
            let least = u64::from(found.prompt_tokens) + u64::from(gamma) + 1;
            let field = format!("prompts[{prompt}].tokens");
            let required = format!("at least {least}, for a step of {gamma} draft tokens");
            return Err(FieldError::new(self.name(), field, required, found.tokens).into());
        }
        Ok(())
    }

    /// What was kept of `layer` of a prompt, by the whole model's number. The first time takes all of its bytes.
    ///
    /// # Errors
    /// It was not kept, a shard cannot be read, or a number is not finite.
    pub fn layer(&self, role: ModelRole, prompt: u32, layer: u32) -> Result<Layer, CalibrationError> {
        let model = self.model(role)?;
        let found = self.prompt(prompt)?;
        let [queries, keys] = check::layer_shapes(model, found);
        let name = |what: &str| format!("{role}.prompts.{prompt}.layers.{layer}.{what}");
        let read = |what: &str, shape, first| self.finite(&name(what), model.dtype, shape, first);
        let values = self.source.info(&name("values")).map(|_| read("values", keys, 0)).transpose()?;
        Ok(Layer {
            queries: read("queries", queries, found.first_query)?,
            keys: read("keys", keys, 0)?,
            values,
        })
    }

    /// Whether values were kept.
    #[must_use]
    pub fn has_values(&self) -> bool {
        let first = self.metadata.target.layers.first();
        first.is_some_and(|layer| {
            self.source.info(&format!("target.prompts.0.layers.{layer}.values")).is_some()
        })
    }

    /// Logits of positions `P - 1 ..`, `[1, N - P + 1, vocabulary]`, if they were kept.
    ///
    /// # Errors
    /// There is no such model or prompt, a shard cannot be read, or a number is not finite.
    pub fn logits(&self, role: ModelRole, prompt: u32) -> Result<Option<Tensor>, CalibrationError> {
        let (model, found) = (self.model(role)?, self.prompt(prompt)?);
        let name = format!("{role}.prompts.{prompt}.logits");
        if self.source.info(&name).is_none() {
            return Ok(None);
        }
        let [rows, vocabulary] = check::logits_shape(model, found);
        self.finite(&name, model.dtype, [1, rows, vocabulary], found.prompt_tokens - 1).map(Some)
    }

    /// Scores of all query heads of all layers, `[ranked prompts, layers, query heads]`, if heads were ranked.
    ///
    /// # Errors
    /// There is no such model, a shard cannot be read, or a number is not finite.
    pub fn scores(&self, role: ModelRole) -> Result<Option<Tensor>, CalibrationError> {
        let geometry = self.model(role)?.geometry;
        let name = format!("{role}.ranking.scores");
        let Some(ranking) = self.metadata.ranking.as_ref().filter(|_| self.source.info(&name).is_some())
        else {
            return Ok(None);
        };
        let shape = [ranking.prompts.len(), geometry.layers as usize, geometry.query_heads as usize];
        self.finite(&name, Element::F32, shape, 0).map(Some)
    }

    /// The token numbers of a prompt and its continuation, `[N]`.
    ///
    /// # Errors
    /// There is no such prompt, or a shard cannot be read.
    pub fn tokens(&self, prompt: u32) -> Result<Vec<i32>, CalibrationError> {
        self.prompt(prompt)?;
        let (bytes, range) = self.source.bytes(&format!("prompts.{prompt}.tokens"))?;
        Ok(bytes[range].as_chunks().0.iter().map(|&item| i32::from_le_bytes(item)).collect())
    }

    /// A tensor whose items are finite; its first row is position `first`.
    fn finite(
        &self,
        name: &str,
        element: Element,
        shape: [usize; 3],
        first: u32,
    ) -> Result<Tensor, CalibrationError> {
        let (bytes, range) = self.source.bytes(name)?;
        let tensor = Tensor::new(bytes, range, element, shape);
        // Nothing panics while it is locked.
        let known = || self.known_finite.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(name) {
            return Ok(tensor);
        }
        match tensor.first_not_finite() {
            None => {
                known().insert(name.to_owned());
                Ok(tensor)
            }
            Some([head, row]) => {
                let file = self.source.info(name).map_or_else(|| self.name().to_owned(), |(file, _)| file);
                let position = row + u64::from(first);
                Err(CalibrationError::NotFinite { file, tensor: name.to_owned(), head, position })
            }
        }
    }

    /// Whether there is a tensor, whatever its shape.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.source.info(tensor).is_some()
    }

    /// Refuses a tensor that is not there, or not of this type and shape.
    pub(super) fn require_tensor(
        &self,
        tensor: &str,
        dtype: Dtype,
        shape: &[usize],
    ) -> Result<(), CalibrationError> {
        let Some((file, info)) = self.source.info(tensor) else {
            return Err(CalibrationError::Missing {
                file: self.name().to_owned(),
                tensor: tensor.to_owned(),
            });
        };
        if info.dtype == dtype && info.shape == shape {
            return Ok(());
        }
        Err(CalibrationError::Shape {
            file,
            tensor: tensor.to_owned(),
            required: format!("{dtype:?} {shape:?}"),
            actual: format!("{:?} {:?}", info.dtype, info.shape),
        })
    }
}
