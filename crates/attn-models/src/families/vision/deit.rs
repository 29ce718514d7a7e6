//! DeiT: ViT's network with a distillation token beside the class token.
//!
//! Touvron et al. 2021, <https://arxiv.org/abs/2012.12877>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/deit-base-distilled-patch16-224 | `DeiTForImageClassificationWithTeacher`: the mean of two heads |
//! | fine-tuned classifiers | `DeiTForImageClassification` |
//! | bare models | `DeiTModel` |

use super::{Head, Sizes, vit};
use crate::{
    Result, Weights,
    blocks::Linear,
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let sizes = Sizes::read(config, 224, 16, 2)?;
    let hidden = sizes.hidden;
    let classifier = |name: &str, labels: &[String]| Linear::load(&weights.at(name), hidden, labels.len(), true);
    let head = match config.architecture() {
        Some("DeiTForImageClassification") => {
            let labels = config.labels()?;
            Some((Head::Class(classifier("classifier", &labels)?), labels))
        }
        Some("DeiTForImageClassificationWithTeacher") => {
            let labels = config.labels()?;
            let class = classifier("cls_classifier", &labels)?;
            let distillation = classifier("distillation_classifier", &labels)?;
            Some((Head::ClassAndDistillation(class, distillation), labels))
        }
        _ => None,
    };
    let root = weights.below("deit");
    let embeddings = root.at("embeddings");
    let special = ["cls_token", "distillation_token"];
    let special = special.map(|token| embeddings.get(token, [1, 1, hidden]));
    let special = special.into_iter().collect::<Result<_>>()?;
    vit::network(config, name, "deit", &root, &sizes, special, head)
}
