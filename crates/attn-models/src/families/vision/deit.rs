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
    let root = weights.below("deit");
    let sizes = Sizes::read(config, (224, 16), 2, &root.at("encoder.layer"))?;
    let hidden = sizes.hidden;
    let classifier = |name: &str, labels: usize| Linear::load(&weights.at(name), hidden, labels, true);
    let head = match config.architecture() {
        Some("DeiTForImageClassification") => {
            let class = |labels| classifier("classifier", labels).map(Head::Class);
            Some(Head::classifier(config, weights, class)?)
        }
        Some("DeiTForImageClassificationWithTeacher") => Some(Head::classifier(config, weights, |labels| {
            let class = classifier("cls_classifier", labels)?;
            let distillation = classifier("distillation_classifier", labels)?;
            Ok(Head::ClassAndDistillation(class, distillation))
        })?),
        _ => None,
    };
    let embeddings = root.at("embeddings");
    let special = ["cls_token", "distillation_token"];
    let special = special.map(|token| embeddings.get(token, [1, 1, hidden]));
    let special = special.into_iter().collect::<Result<_>>()?;
    vit::network(config, name, "deit", &root, &sizes, special, head)
}
