//! A method as a value: shared, compared, written and read.

use std::{any::Any, fmt, ops::Deref, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::Value;

use super::{Methods, ProjectionMethod};
use crate::{Error, Result, tsne::Tsne};

/// A shared [`ProjectionMethod`], built in or a host's.
///
/// Made by `into` from any of them; the default is [`Tsne`] with its defaults. Two are equal if their keys and
/// parameters are. In JSON a method is its key, `"pca"`, or its key with its parameters, `{"tsne": {"perplexity":
/// 50}}`; read are the [built-in](Methods::builtin) ones, others by [`Methods::read`].
///
/// ```
/// use attn_project::{Method, pca::Pca, tsne::{Tsne, TsneParams}};
///
/// let method: Method = Tsne::new(TsneParams { perplexity: 50.0, ..TsneParams::default() })?.into();
/// assert_eq!((method.name(), method.neighbors(1000)), ("t-SNE", 150));
/// assert_eq!("pca".parse::<Method>()?, Pca.into());
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Clone)]
pub struct Method(Arc<dyn ProjectionMethod>);

impl Method {
    /// The method as its own type, if it is of that type.
    pub fn downcast<M: ProjectionMethod>(&self) -> Option<&M> {
        let any: &dyn Any = self.0.as_ref();
        any.downcast_ref()
    }
}

impl Deref for Method {
    type Target = dyn ProjectionMethod;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for Method {
    fn default() -> Self {
        Tsne::default().into()
    }
}

impl<M: ProjectionMethod> From<M> for Method {
    fn from(method: M) -> Self {
        Self(Arc::new(method))
    }
}

impl From<Arc<dyn ProjectionMethod>> for Method {
    fn from(method: Arc<dyn ProjectionMethod>) -> Self {
        Self(method)
    }
}

impl From<&Method> for Method {
    fn from(method: &Method) -> Self {
        method.clone()
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.key() == other.key() && self.params() == other.params())
    }
}

/// The built-in method with this key and its default parameters.
impl FromStr for Method {
    type Err = Error;

    fn from_str(key: &str) -> Result<Self> {
        Methods::builtin().get(key)
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.params() {
            Value::Null => serializer.serialize_str(self.key()),
            params => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(self.key(), &params)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Methods::builtin().read(&value).map_err(de::Error::custom)
    }
}

/// Parameters as JSON with the shortest digits of their numbers: `0.1`, not `0.10000000149011612`.
pub(crate) fn json<P: Serialize>(params: &P) -> Value {
    let text = serde_json::to_string(params).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
