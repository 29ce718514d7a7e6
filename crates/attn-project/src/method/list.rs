//! Methods by their keys.

use std::{fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::Method;
use crate::{
    Error, Result,
    mds::Mds,
    pca::Pca,
    tsne::{AttentionTsne, AttentionTsneParams, Tsne, TsneParams},
    umap::{Umap, UmapParams},
};

/// Methods that can be chosen by key, on a command line or in a file.
///
/// ```
/// use attn_project::{Method, method::Methods};
/// # use attn_project::{Embedding, ProjectionMethod, Result, attn_core::Progress, method::FitInput};
/// # #[derive(Debug)]
/// # struct Circle;
/// # impl ProjectionMethod for Circle {
/// #     fn name(&self) -> &str { "circle" }
/// #     fn fit(&self, input: &FitInput<'_>, _: &dyn Progress) -> Result<Embedding> { unreachable!() }
/// # }
/// let methods = Methods::builtin().with(Circle);
/// assert_eq!(methods.keys().collect::<Vec<_>>(), ["pca", "tsne", "attention", "umap", "mds", "circle"]);
/// assert_eq!(methods.get("umap")?.name(), "UMAP");
/// let kept = serde_json::to_value(Method::from(Circle)).unwrap();
/// assert_eq!(methods.read(&kept)?, Circle.into());
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Clone)]
pub struct Methods(Vec<Entry>);

type Read = Arc<dyn Fn(&Value) -> Result<Method> + Send + Sync>;

#[derive(Clone)]
struct Entry {
    key: String,
    read: Read,
}

/// Parameters of a method without any.
#[derive(Default, Deserialize)]
struct NoParams {}

impl Methods {
    /// PCA, t-SNE, t-SNE along attention, UMAP and MDS.
    pub fn builtin() -> Self {
        Self(Vec::new())
            .with_params("pca", |_: NoParams| Ok(Pca))
            .with_params("tsne", |params: TsneParams| Tsne::new(params))
            .with_params("attention", |params: AttentionTsneParams| AttentionTsne::new(params))
            .with_params("umap", |params: UmapParams| Umap::new(params))
            .with_params("mds", |_: NoParams| Ok(Mds))
    }

    /// The same and a method as it is, whatever parameters a file holds. A method of that key goes.
    pub fn with(self, method: impl Into<Method>) -> Self {
        let method = method.into();
        let key = method.key().to_owned();
        self.entry(key, Arc::new(move |_| Ok(method.clone())))
    }

    /// The same and a method made of its parameters, which are read from JSON. A method of that key goes.
    pub fn with_params<P, M>(
        self,
        key: impl Into<String>,
        make: impl Fn(P) -> Result<M> + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + Default,
        M: Into<Method>,
    {
        let key = key.into();
        let name = key.clone();
        let read = move |params: &Value| {
            let params = match params {
                Value::Null => P::default(),
                params => P::deserialize(params).map_err(|e| Error::method(&name, e))?,
            };
            Ok(make(params)?.into())
        };
        self.entry(key, Arc::new(read))
    }

    fn entry(mut self, key: String, read: Read) -> Self {
        self.0.retain(|entry| entry.key != key);
        self.0.push(Entry { key, read });
        self
    }

    /// The keys, built-in ones first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.key.as_str())
    }

    /// The method of a key with its default parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] that lists the keys for one that is not there.
    pub fn get(&self, key: &str) -> Result<Method> {
        self.make(key, &Value::Null)
    }

    /// A method from the JSON that a [`Method`] is written as: a key, or a key with parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another form, for a key that is not there and for parameters out of range.
    pub fn read(&self, value: &Value) -> Result<Method> {
        if let Value::String(key) = value {
            return self.get(key);
        }
        match value
            .as_object()
            .and_then(|map| map.iter().next().filter(|_| map.len() == 1))
        {
            Some((key, params)) => self.make(key, params),
            None => Err(Error::parameter("method", "a key, or a key with parameters", value)),
        }
    }

    fn make(&self, key: &str, params: &Value) -> Result<Method> {
        let Some(entry) = self.0.iter().find(|entry| entry.key == key) else {
            let keys: Vec<&str> = self.keys().collect();
            return Err(Error::parameter("method", format!("one of {}", keys.join(", ")), key));
        };
        (entry.read)(params)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}
