//! Several spaces: models of different depth, stacks of one model, what became of clusters, files and back.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, Side, Token,
    capture::{CaptureOptions, CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask},
};

use crate::{
    Rng,
    concepts::{
        ConceptCluster, ConceptStudy, Fate, LayerWeights, ModelSource, NameKind, NamesFile, OverlapParams, Partition,
        Pipeline, PipelineParams, Prediction, Reading, TaggedText, changes, overlap, plain_text,
    },
};

const TEXT: &str = "cat_N runs_V dog_N sleeps_V\ndog_N runs_V cat_N sleeps_V\ncat_N sleeps_V dog_N runs_V";

fn text() -> Arc<TaggedText> {
    Arc::new(TaggedText::word_tag(TEXT, "example", '_').unwrap())
}

/// A state that tells nouns from verbs, and in the last layer every word from every other.
fn state(word: &str, layer: usize) -> [f32; 2] {
    let at = ["cat", "dog", "runs", "sleeps"]
        .iter()
        .position(|&own| own == word)
        .unwrap_or(4);
    let [x, y] = [[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0], [30.0, 30.0]][at];
    match layer {
        0 => [x, y],
        1 => [y, x],
        _ => [x + 0.1, 10.0 * y],
    }
}

/// The states of these sentences, one token per word, on the sides that have layers.
fn capture(text: &TaggedText, layers: &[(Side, usize)]) -> Capture {
    let mut model = ModelInfo::new("toy", "bert", 2);
    let stack = |count: usize| vec![LayerAttention::new(1.0, Mask::Full); count];
    for &(side, count) in layers {
        let attention = match side {
            Side::Encoder => Attention::EncoderSelf,
            Side::Decoder => Attention::DecoderSelf,
        };
        model = model.with_attention(AttentionInfo::new(attention, 1, 2, stack(count)));
    }
    if layers.len() > 1 {
        model = model.with_attention(AttentionInfo::new(Attention::Cross, 1, 2, stack(1)));
    }
    let both = layers.len() > 1;
    let sequences = text.sentences.iter().map(|sentence| {
        let tokens = |before: usize| {
            let words = sentence.words.iter();
            let tokens = words.map(|word| Token {
                span: Some((word.span.0 + before, word.span.1 + before)),
                ..Token::new(word.text.as_str())
            });
            tokens.collect::<Vec<_>>()
        };
        let own = &sentence.text;
        let whole = if both { format!("{own}\t{own}") } else { own.clone() };
        let mut sequence = Sequence::new("a sentence").with_text(whole);
        for &(side, _) in layers {
            let before = if both && side == Side::Decoder {
                own.len() + 1
            } else {
                0
            };
            let start = Token {
                special: true,
                ..Token::new("<s>")
            };
            let read = [start]
                .into_iter()
                .filter(|_| side == Side::Decoder)
                .chain(tokens(before));
            sequence = sequence.with_tokens(side, read.collect::<Vec<_>>());
        }
        sequence
    });
    let plan = CapturePlan::new(model, sequences.collect()).with_options(CaptureOptions::states());
    let writer = CaptureWriter::in_memory(plan).unwrap();
    for (at, sentence) in text.sentences.iter().enumerate() {
        for &(side, count) in layers {
            for layer in 0..=count {
                let special = (side == Side::Decoder).then_some([77.0, 77.0]);
                let words = sentence.words.iter().map(|word| state(&word.text, layer));
                let states: Vec<f32> = special.into_iter().chain(words).flatten().collect();
                writer.write(Slot::Hidden { side, layer }, at, &states).unwrap();
            }
        }
        writer.commit(&[at]).unwrap();
    }
    writer.finish().unwrap()
}

fn params(clusters: usize) -> PipelineParams {
    let mut params = PipelineParams {
        clusters: Some(clusters),
        map: false,
        ..PipelineParams::default()
    };
    params.filter.at_least = 1;
    params
}

/// A study of stacks with so many layers each.
fn study(depths: &[usize], clusters: usize) -> ConceptStudy {
    let pipeline = Pipeline::new(params(clusters)).unwrap();
    let encode = |&depth: &usize| {
        let capture = capture(&text(), &[(Side::Encoder, depth)]);
        let reading = Reading::new(format!("of {depth}"), text(), &capture);
        pipeline.encode(&reading, &()).unwrap()
    };
    pipeline.compare(depths.iter().map(encode).collect(), &()).unwrap()
}

#[test]
fn models_of_different_depth_are_compared_in_both_directions() {
    for (depths, pairs) in [([2, 1], [(0, 0), (1, 1), (2, 1)]), ([1, 2], [(0, 0), (1, 1), (1, 2)])] {
        let study = study(&depths, 2);
        let comparison = &study.comparisons[0];
        let found: Vec<_> = comparison.layers.iter().map(|pair| (pair.before, pair.after)).collect();
        assert_eq!(found, pairs);
        assert_eq!(comparison.between.len(), depths[0] + 1);
        assert!(comparison.between.iter().all(|row| row.len() == depths[1] + 1));
        for topic in study.topics() {
            let curves = study.compared(&topic).unwrap().curves;
            assert_eq!(curves.len(), 2, "{topic}");
            let layers: Vec<usize> = curves.iter().map(|curve| curve.layers.len()).collect();
            assert_eq!(layers, depths.map(|depth| depth + 1), "{topic}");
            assert!(curves.iter().all(|curve| curve.values.len() == curve.layers.len()));
        }
        let report = study.markdown();
        assert!(report.contains("## Layers of of 2 beside") || report.contains("## Layers of of 1 beside"));
    }
}

#[test]
fn which_clusters_change_is_told_with_words_and_sentences() {
    // Nouns and verbs first; cat and runs, dog and sleeps in the last layer.
    let study = study(&[2], 2);
    let pair = &study.comparisons[0].layers[1];
    assert_eq!((pair.before, pair.after), (1, 2));
    assert_eq!(
        (pair.changes.count(Fate::Lost), pair.changes.count(Fate::New)),
        ([2, 0], [0, 2])
    );
    assert_eq!(study.comparisons[0].layers[0].changes.count(Fate::Survived), [2, 2]);
    let report = study.markdown();
    for part in [
        "# of 2: from layer to layer",
        "**lost**: 2, 2 of several words.",
        "(6: cat, dog)",
        "**cat** runs",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn a_series_is_compared_step_by_step_and_as_a_whole() {
    let study = study(&[1, 1, 2], 2);
    let pairs: Vec<_> = study.comparisons.iter().map(|own| (own.before, own.after)).collect();
    assert_eq!(pairs, [(0, 1), (1, 2), (0, 2)]);
    assert_eq!(study.compared("tag").unwrap().curves.len(), 3);
}

#[test]
fn both_stacks_of_an_encoder_decoder_are_read() {
    let capture = capture(&text(), &[(Side::Encoder, 1), (Side::Decoder, 2)]);
    let readings = Reading::all("t5", text(), &capture);
    assert_eq!(readings.len(), 2);
    let pipeline = Pipeline::new(params(2)).unwrap();
    let spaces: Vec<_> = readings
        .iter()
        .map(|reading| pipeline.encode(reading, &()).unwrap())
        .collect();
    assert_eq!([spaces[0].name(), spaces[1].name()], ["t5 (encoder)", "t5 (decoder)"]);
    assert_eq!([spaces[0].layers.len(), spaces[1].layers.len()], [2, 3]);
    assert_eq!(spaces[0].words.words[0].tokens, [0]);
    assert_eq!(spaces[1].words.words[0].tokens, [1], "behind the start token");
    let study = pipeline.compare(spaces, &()).unwrap();
    assert_eq!((study.comparisons[0].before, study.comparisons[0].after), (0, 1));
    // Nouns and verbs: the word's own states, on both sides.
    assert!(
        study
            .models
            .iter()
            .all(|model| model.layers[0].rows[0].aligned.value == 1.0)
    );
    // A target that the model wrote is another text, and no word of this one.
    let other = TaggedText::word_tag("un_N chat_N", "other", '_').unwrap();
    assert_eq!(
        Reading::all("t5", Arc::new(other), &capture).len(),
        1,
        "the error comes when it is encoded"
    );
}

#[test]
fn layers_may_be_asked_for_in_any_order() {
    let capture = capture(&text(), &[(Side::Encoder, 2)]);
    let reading = Reading::new("toy", text(), &capture);
    for (asked, given) in [(vec![2, 0], vec![0, 2]), (vec![1, 1], vec![1]), (vec![], vec![0, 1, 2])] {
        let params = PipelineParams {
            layers: asked,
            ..params(2)
        };
        let space = Pipeline::new(params).unwrap().encode(&reading, &()).unwrap();
        assert_eq!(space.layers.iter().map(|layer| layer.layer).collect::<Vec<_>>(), given);
    }
    let params = PipelineParams {
        layers: vec![3],
        ..params(2)
    };
    let error = Pipeline::new(params)
        .unwrap()
        .encode(&reading, &())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "layers: expected 0 to 2, found 3");
}

#[test]
fn a_study_reopens_and_is_cut_anew_without_the_model() {
    let study = study(&[2, 1], 2);
    let bytes = study.to_json().unwrap();
    let read = ConceptStudy::from_json(&bytes, Path::new("concepts.json")).unwrap();
    // The file holds all that there is, to the last bit.
    assert!(read.to_json().unwrap() == bytes);
    assert_eq!(read.markdown(), study.markdown());
    assert_eq!(read.comparisons, study.comparisons);
    for (read, study) in read.models.iter().zip(&study.models) {
        for (read, study) in read.layers.iter().zip(&study.layers) {
            assert_eq!(read.whole, study.whole);
            assert_eq!(read.tree, study.tree);
            assert_eq!(read.partition, study.partition);
            assert!(!study.centers.is_empty());
            assert_eq!(read.centers, study.centers);
        }
    }
    // Another number of clusters, as if it had been asked for at first.
    let pipeline = Pipeline::new(params(4)).unwrap();
    let cut: Vec<_> = read
        .models
        .iter()
        .map(|model| pipeline.recut(model, None, &()).unwrap())
        .collect();
    let anew = self::study(&[2, 1], 4);
    let cut = pipeline.compare(cut, &()).unwrap();
    assert_eq!(cut.markdown(), anew.markdown());
    assert_eq!(cut.comparisons, anew.comparisons);
    for (cut, anew) in cut.models.iter().zip(&anew.models) {
        for (cut, anew) in cut.layers.iter().zip(&anew.layers) {
            assert_eq!(cut.partition, anew.partition);
            assert_eq!(cut.rows, anew.rows);
            assert_eq!(cut.sweeps, anew.sweeps);
            assert_eq!(cut.tree, anew.tree);
            assert_eq!(cut.whole, anew.whole);
            // What is nearer to another mean takes the vectors, which no file has.
            let of_file = |cluster: &ConceptCluster| ConceptCluster {
                borderline: 0.0,
                ..cluster.clone()
            };
            assert_eq!(cut.clusters, anew.clusters.iter().map(of_file).collect::<Vec<_>>());
        }
    }
    // Without a number the trees tell how many different vectors there are.
    let params = PipelineParams {
        clusters: None,
        ..params(1)
    };
    let own = Pipeline::new(params)
        .unwrap()
        .recut(&read.models[0], None, &())
        .unwrap();
    assert_eq!(own.layers[0].partition.count(), 4);

    let text = String::from_utf8(bytes).unwrap();
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        ConceptStudy::from_json(changed.as_bytes(), Path::new("x.json"))
            .unwrap_err()
            .to_string()
    };
    assert!(wrong("attn-concepts", "other").contains("x.json: expected schema attn-concepts, version 1"));
    assert!(wrong(r#""text_of":[0,0]"#, r#""text_of":[0,7]"#).contains("there is no text 7"));
    assert!(wrong(r#""members":[0,2"#, r#""members":[0,0"#).contains("expected one of 12"));
    assert!(wrong(r#""sentence":0"#, r#""sentence":99"#).contains("sentence 99"));
    assert!(wrong(r#"{"dims":2"#, r#"{"dims":3"#).contains("centers: expected 2 finite means of 3 dimensions"));
    assert!(wrong(r#""means":"AAA"#, r#""means":"@AA"#).contains("Invalid symbol"));
    assert!(wrong(r#""steps":[[0,"#, r#""steps":[[50,"#).contains("step 0"));
}

#[test]
fn words_of_a_new_sentence_lie_in_the_clusters_of_their_kind() {
    let pipeline = Pipeline::new(params(2)).unwrap();
    let known = capture(&text(), &[(Side::Encoder, 1)]);
    let mut space = pipeline.encode(&Reading::new("toy", text(), &known), &()).unwrap();
    let new = plain_text("dog runs, far");
    let typed = capture(&new, &[(Side::Encoder, 1)]);
    let reading = Reading::new("toy", new, &typed);
    let placed = pipeline.place(&space, &reading, 5).unwrap();
    let nouns = space.layers[0].partition.cluster(0).unwrap();
    let near: Vec<_> = placed.layers[0].words.iter().map(|near| near[0]).collect();
    assert_eq!(near.len(), 4);
    assert_eq!([near[0].cluster, near[1].cluster], [nouns, 1 - nouns]);
    // By hand: cat and dog lie at (0, 0) and (0, 1).
    assert_eq!((near[0].distance, near[0].usual), (0.5, 0.5));
    assert!(near[3].distance > 30.0 * near[3].usual, "near nothing");
    assert_eq!(placed.layers[0].words[0].len(), 2, "there are no more");
    assert!(
        space
            .placement_markdown(&placed)
            .contains("| dog | tag N: cat, dog | 0.50 (0.50) |")
    );
    // A study that was saved and reopened places it in the same way.
    space.source = Some(ModelSource {
        place: "toy".into(),
        fingerprint: "0f".into(),
    });
    let study = pipeline.compare(vec![space.clone()], &()).unwrap();
    let read = ConceptStudy::from_json(&study.to_json().unwrap(), Path::new("x")).unwrap();
    assert_eq!(read.models[0].source, space.source);
    assert_eq!(pipeline.place(&read.models[0], &reading, 5).unwrap(), placed);
    space.layers[1].centers = Default::default();
    let error = pipeline.place(&space, &reading, 5).unwrap_err().to_string();
    assert_eq!(error, "layer 1: expected the centers of its clusters, found none");
}

/// What a typed sentence and a sentence of the text have in common are places: the text may be divided otherwise.
#[test]
fn a_typed_sentence_finds_its_words_by_their_places() {
    let file = "1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tDo\t_\tAUX\t_\t_\t_\t_\t_\t_\n2\tn't\t_\tPART\t_\t_\t_\t_\t_\t_\n\
                3\tx-y\t_\tX\t_\t_\t_\t_\t_\t_\n4\tcat\t_\tNOUN\t_\t_\t_\t_\t_\t_\n5\truns\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n";
    let text = Arc::new(TaggedText::conllu(file, "example", &["upos"]).unwrap());
    assert_eq!(text.sentences[0].text, "Don't x-y cat runs");
    let known = capture(&text, &[(Side::Encoder, 1)]);
    let pipeline = Pipeline::new(params(3)).unwrap();
    let space = pipeline
        .encode(&Reading::new("toy", text.clone(), &known), &())
        .unwrap();
    let explain = |text: Arc<TaggedText>, read: &Capture| {
        let layers = (0..2).map(|layer| LayerWeights {
            layer,
            weights: vec![1.0; read.sequences()[0].encoder.len()],
            gap: if layer == 1 { 0.2 } else { 0.01 },
        });
        let prediction = Prediction {
            sentence: 0,
            class: "good".into(),
            probability: 0.9,
            against: "bad".into(),
            value: 1.0,
            baseline: 0.0,
            layers: layers.collect(),
        };
        let reading = Reading::new("toy", text, read);
        pipeline.explain(&space, &reading, prediction).unwrap()
    };
    let own = explain(text.clone(), &known);
    // Both words of the contraction, which share a place, are their own.
    assert_eq!(own.clustered, [true; 5]);
    let typed = plain_text("Don't x-y cat runs");
    let read = capture(&typed, &[(Side::Encoder, 1)]);
    let found = explain(typed, &read);
    let words: Vec<&str> = found.words.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, ["Don't", "x", "-", "y", "cat", "runs"]);
    assert_eq!(found.clustered, [false, false, false, false, true, true]);
    let partition = &space.layers[0].partition;
    for (typed, known) in [(4, 3), (5, 4)] {
        let part = found.layers[0].clusters.iter().find(|part| part.words.contains(&typed));
        assert_eq!(part.map(|part| part.cluster), partition.cluster(known));
    }
    // What the weights of a layer miss is said of that layer.
    assert_eq!(found.gap_warning(0), None);
    assert!(found.gap_warning(1).unwrap().contains("20 %"));
    let report = space.explanation_markdown(&found, "Don't x-y cat runs");
    assert!(report.contains("- Layer 1: the weights miss 20 %"), "{report}");
    assert!(report.contains("**good** (probability 0.900), not bad."), "{report}");
    let table = space.explanation_table(&found).to_csv();
    assert!(table.starts_with("layer,cluster,name,words,weight,share,"), "{table}");
}

#[test]
fn clusters_go_out_and_names_come_back() {
    let mut study = study(&[1], 2);
    let space = &mut study.models[0];
    let lines = space.clusters_txt(&space.layers[0]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(
        [lines[0], lines[1], lines[6]],
        ["cat|||0|||0|||0|||0", "runs|||0|||0|||1|||1", "cat|||1|||1|||2|||0"]
    );
    let prompt = space.prompts(&space.layers[0]);
    assert!(
        prompt.contains("\nCluster 0: cat (3), dog (3)\n- [[cat]] runs dog sleeps\n"),
        "{prompt}"
    );
    let names = NamesFile::read("# by hand\n0\tanimals\nCluster 1: what they do\n", "names.txt").unwrap();
    space.rename(1, &names).unwrap();
    assert_eq!(space.layers[1].clusters[0].name.text, "animals");
    assert_eq!(space.layers[1].clusters[1].name.text, "what they do");
    // Clusters that stay keep the names that were given to them: all with another threshold, one of two with one cluster more.
    let given = |space: &crate::concepts::ConceptSpace| -> Vec<String> {
        let names = space.layers[1].clusters.iter().map(|cluster| cluster.name.text.clone());
        names
            .filter(|name| ["animals", "what they do"].contains(&name.as_str()))
            .collect()
    };
    let mut other = params(2);
    other.align.threshold = 0.5;
    let cut = Pipeline::new(other).unwrap().recut(space, None, &()).unwrap();
    assert_eq!(given(&cut), ["animals", "what they do"]);
    let cut = Pipeline::new(params(3)).unwrap().recut(space, None, &()).unwrap();
    assert_eq!((given(&cut).len(), cut.layers[1].clusters.len()), (1, 3));
    // A cut that was begun before there were names, and before there was a third layer.
    let mut before = space.clone();
    let clusters = before.layers.iter_mut().flat_map(|layer| &mut layer.clusters);
    clusters.for_each(|cluster| cluster.name.kind = NameKind::Typical);
    let mut other = params(2);
    other.align.threshold = 0.5;
    let cut = Pipeline::new(other).unwrap().recut(&before, None, &()).unwrap();
    assert_eq!(given(&cut).len(), 0);
    let mut taken = space.clone();
    taken.layers.push(space.layers[0].clone());
    taken.take_cut(cut);
    assert_eq!(
        (given(&taken), taken.layers.len()),
        (given(space), space.layers.len() + 1)
    );
    assert_eq!(taken.align().threshold, 0.5);
    let error = |content: &str| NamesFile::read(content, "names.txt").unwrap_err().to_string();
    assert!(error("0\ta\nanimals").starts_with("names.txt, line 2: expected `number` TAB `name`"));
    assert!(error("0\ta\n0\tb").contains("one name per cluster"));
    assert!(error("5").contains("line 1"));
    let beyond = NamesFile::read("2\tx", "n").unwrap();
    assert!(
        space
            .rename(0, &beyond)
            .unwrap_err()
            .to_string()
            .contains("clusters 0 to 1")
    );
}

#[test]
fn every_cluster_has_a_fate_that_the_rule_of_overlap_gives() {
    let words: Vec<String> = (0..12).map(|at| format!("w{at}")).collect();
    let params = OverlapParams {
        threshold: 0.7,
        permutations: 0,
        ..OverlapParams::default()
    };
    for seed in 0..300 {
        let mut rng = Rng::new(seed, &[]);
        let mut draw = |count: usize, names: usize| {
            let pairs: Vec<(usize, usize)> = (0..count).map(|_| (rng.below(9), rng.below(names))).collect();
            let types: Vec<&str> = pairs.iter().map(|&(word, _)| words[word].as_str()).collect();
            (
                types,
                Partition::new(&pairs.iter().map(|&(_, name)| name).collect::<Vec<_>>()),
            )
        };
        let ((types_a, a), (types_b, b)) = (draw(20, 6), draw(25, 5));
        let found = changes(&a, &types_a, &b, &types_b, &params).unwrap();
        let shared: BTreeSet<&str> = types_a.iter().filter(|word| types_b.contains(word)).copied().collect();
        assert_eq!(found.shared_types, shared.len());
        // The shared spellings of every cluster, by brute force.
        let sets = |partition: &Partition, types: &[&'static str]| -> Vec<BTreeSet<&'static str>> {
            let of = partition.members();
            of.iter()
                .map(|members| {
                    members
                        .iter()
                        .map(|&at| types[at])
                        .filter(|word| shared.contains(word))
                        .collect()
                })
                .collect()
        };
        let leak = |types: &[&str]| -> Vec<&'static str> {
            types
                .iter()
                .map(|word| ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"][word[1..].parse::<usize>().unwrap()])
                .collect()
        };
        let (ours, theirs) = (sets(&a, &leak(&types_a)), sets(&b, &leak(&types_b)));
        let lies = |small: &BTreeSet<&str>, others: &[BTreeSet<&str>]| {
            others
                .iter()
                .any(|other| small.intersection(other).count() as f64 / small.len() as f64 >= 0.7 - 1e-12)
        };
        let with_words =
            |sets: &[BTreeSet<&str>]| (0..sets.len()).filter(|&at| !sets[at].is_empty()).collect::<Vec<_>>();
        let told = |side: fn(&crate::concepts::Change) -> &Vec<usize>| -> BTreeSet<usize> {
            found.list.iter().flat_map(|change| side(change).clone()).collect()
        };
        assert_eq!(told(|change| &change.before), with_words(&ours).into_iter().collect());
        assert_eq!(told(|change| &change.after), with_words(&theirs).into_iter().collect());
        for change in &found.list {
            match change.fate {
                Fate::Lost => assert!(!lies(&ours[change.before[0]], &theirs)),
                Fate::New => assert!(!lies(&theirs[change.after[0]], &ours)),
                Fate::Merged => {
                    assert!(change.after.len() == 1 && change.before.iter().all(|&at| lies(&ours[at], &theirs)))
                }
                Fate::Split => {
                    assert!(change.before.len() == 1 && change.after.iter().any(|&at| lies(&theirs[at], &ours)))
                }
                Fate::Survived => {
                    let (before, after) = (&ours[change.before[0]], &theirs[change.after[0]]);
                    assert!(lies(before, std::slice::from_ref(after)) && lies(after, std::slice::from_ref(before)));
                }
            }
        }
        let survive = with_words(&ours).iter().filter(|&&at| lies(&ours[at], &theirs)).count();
        assert!((found.survive.all.value - survive as f64 / with_words(&ours).len() as f64).abs() < 1e-12);
        if shared.len() == types_a.iter().chain(&types_b).collect::<BTreeSet<_>>().len() {
            assert_eq!(
                found.survive,
                overlap(&a, &types_a, &b, &types_b, &params).unwrap().found
            );
        }
    }
}
