//! The pickle inside a file of PyTorch: a program that builds a dictionary of tensors. It is followed, never run.
//!
//! Of Python's classes and functions three are known by name (`OrderedDict` and the two that make a tensor of a place in
//! a storage). Whatever else the program calls is left out, with what it would have made. Instructions:
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py>; what PyTorch writes:
//! <https://github.com/pytorch/pytorch/blob/main/torch/_weights_only_unpickler.py>.
//!
//! candle has such a reader. This one exists because a hostile file makes that one panic, print, allocate by a word of
//! the file, or copy values until memory ends. Here every value is shared, so that an instruction takes memory of its own
//! size, and tuples are nested to a bounded depth, so that dropping them takes a bounded stack.

use std::{collections::HashMap, rc::Rc};

use crate::error::{SHORT, excerpt};

/// Tuples in tuples: those of a tensor are four.
const DEEPEST: usize = 16;

/// A tensor as the program describes it: a walk over the elements of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// The class of the storage: `FloatStorage`.
    pub(super) storage: Rc<str>,
    /// The name of the storage's file.
    pub(super) key: Rc<str>,
    /// In elements.
    pub(super) first: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

/// A value of the program.
#[derive(Debug, Clone)]
enum Value {
    /// The begin of a group.
    Mark,
    Integer(i64),
    Text(Rc<str>),
    /// A class or function, with its module.
    Name(Rc<str>),
    /// Its values, and how deep they are nested.
    Tuple(Rc<[Value]>, usize),
    /// The number of a dictionary: what is put into it later is in every copy.
    Dictionary(usize),
    /// A storage: its class and the name of its file.
    Storage(Rc<str>, Rc<str>),
    Tensor(Rc<Tensor>),
    /// Whatever is not needed.
    Other,
}

/// Reads a program: the tensors of the dictionary that it makes, by name.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn tensors(program: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let mut machine = Machine {
        rest: program,
        stack: Vec::new(),
        memo: HashMap::new(),
        dictionaries: Vec::new(),
        made: 0,
    };
    let result = loop {
        let at = program.len() - machine.rest.len();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(result)) => break result,
            Err(message) => return Err(format!("byte {at} of data.pkl: {message}")),
        }
    };
    let Value::Dictionary(number) = result else {
        return Err("data.pkl: expected a dictionary of tensors, found another object".to_owned());
    };
    let mut named = Vec::new();
    for pair in std::mem::take(&mut machine.dictionaries[number]) {
        if let (Value::Text(name), Value::Tensor(tensor)) = pair {
            machine.spend(name.len())?;
            named.push((name.to_string(), (*tensor).clone()));
        }
    }
    Ok(named)
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    memo: HashMap<usize, Value>,
    dictionaries: Vec<Vec<(Value, Value)>>,
    /// Bytes of texts that were copied out of shared values: a few instructions could ask for any number of them.
    made: usize,
}

/// Sides of a tensor, at most.
const MOST_SIDES: usize = 16;
/// Bytes of texts that are copied, at most: far above the names of any model.
const MOST_COPIED: usize = 1 << 26;

impl<'a> Machine<'a> {
    /// Follows one instruction; the result at the end.
    fn step(&mut self) -> Result<Option<Value>, String> {
        let [instruction] = self.bytes()?;
        match instruction {
            // PROTO, FRAME
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'.' => return self.pop().map(Some),
            b'(' => self.stack.push(Value::Mark),
            // NONE, NEWTRUE, NEWFALSE, EMPTY_LIST, EMPTY_SET
            b'N' | 0x88 | 0x89 | b']' | 0x8f => self.stack.push(Value::Other),
            b'G' => {
                self.bytes::<8>()?;
                self.stack.push(Value::Other);
            }
            // BININT, BININT1, BININT2, LONG1
            b'J' => {
                let number = i32::from_le_bytes(self.bytes()?);
                self.stack.push(Value::Integer(number.into()));
            }
            b'K' => {
                let [number] = self.bytes()?;
                self.stack.push(Value::Integer(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.bytes()?);
                self.stack.push(Value::Integer(number.into()));
            }
            0x8a => {
                let number = self.long()?;
                self.stack.push(number);
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
            b'X' => {
                let length = u32::from_le_bytes(self.bytes()?);
                self.text(length.into())?;
            }
            0x8c => {
                let [length] = self.bytes()?;
                self.text(length.into())?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.bytes()?);
                self.text(length)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Name(format!("{module}.{name}").into()));
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => {
                    self.spend(name.len().saturating_add(module.len()))?;
                    self.stack.push(Value::Name(format!("{module}.{name}").into()));
                }
                _ => return Err("expected the name of a class".to_owned()),
            },
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let [place] = self.bytes()?;
                self.keep(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.keep(place as usize)?;
            }
            0x94 => self.keep(self.memo.len())?,
            // BINGET, LONG_BINGET
            b'h' => {
                let [place] = self.bytes()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.recall(place as usize)?;
            }
            b')' => self.tuple(Vec::new())?,
            b't' => {
                let values = self.group()?;
                self.tuple(values)?;
            }
            0x85..=0x87 => {
                let count = usize::from(instruction - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or("too few values")?;
                let values = self.stack.split_off(from);
                self.tuple(values)?;
            }
            b'}' => self.dictionary(),
            b'd' => {
                let values = self.group()?;
                self.dictionary();
                self.fill(values)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.fill(vec![key, value])?;
            }
            b'u' => {
                let values = self.group()?;
                self.fill(values)?;
            }
            // APPEND, APPENDS, ADDITEMS: of lists nothing is needed
            b'a' => drop(self.pop()?),
            b'e' | 0x90 => drop(self.group()?),
            // BUILD: what an object is told about itself
            b'b' => drop(self.pop()?),
            // BINPERSID
            b'Q' => {
                let named = self.pop()?;
                if let Value::Tuple(values, _) = &named
                    && let [_, Value::Name(class), ..] = &**values
                {
                    self.spend(class.len())?;
                }
                self.stack.push(storage(&named));
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (given, called) = (self.pop()?, self.pop()?);
                let made = self.call(&called, &given)?;
                self.stack.push(made);
            }
            other => return Err(format!("instruction {other:#04x} is not one that PyTorch writes")),
        }
        Ok(None)
    }

    /// What a call makes. Nothing is run.
    fn call(&mut self, called: &Value, given: &Value) -> Result<Value, String> {
        let Value::Name(name) = called else {
            return Ok(Value::Other);
        };
        Ok(match (&**name, given) {
            ("collections.OrderedDict", _) => {
                self.dictionary();
                self.pop()?
            }
            ("torch._utils._rebuild_tensor_v2", Value::Tuple(given, _)) => Value::Tensor(Rc::new(
                tensor(given).ok_or("a tensor that PyTorch does not describe so")?,
            )),
            // A parameter is its first value, a tensor.
            ("torch._utils._rebuild_parameter", Value::Tuple(given, _)) => match given.first() {
                Some(Value::Tensor(tensor)) => Value::Tensor(tensor.clone()),
                _ => Value::Other,
            },
            // A subclass of tensors: what makes the tensor, the subclass, what that is given, its own state.
            ("torch._tensor._rebuild_from_type_v2", Value::Tuple(given, _)) => match &**given {
                [made_by @ Value::Name(name), _, given, ..] if name.starts_with("torch._utils._rebuild_") => {
                    let (made_by, given) = (made_by.clone(), given.clone());
                    self.call(&made_by, &given)?
                }
                _ => Value::Other,
            },
            _ => Value::Other,
        })
    }

    /// Counts texts that are copied.
    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.made = self.made.saturating_add(bytes);
        match self.made {
            0..=MOST_COPIED => Ok(()),
            _ => Err("longer names than PyTorch writes".to_owned()),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or("the program is cut")?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| "the program is cut")?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or("the program is cut")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "expected UTF-8")?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or("the program is cut")? as u64)?;
        self.bytes::<1>()?;
        std::str::from_utf8(line).map_err(|_| "expected UTF-8".to_owned())
    }

    /// A number of up to eight bytes; a longer one is no size.
    fn long(&mut self) -> Result<Value, String> {
        let [length] = self.bytes()?;
        let bytes = self.take(length.into())?;
        if bytes.len() > 8 {
            return Ok(Value::Other);
        }
        let fill = if bytes.last().is_some_and(|&last| last >= 0x80) {
            0xff
        } else {
            0
        };
        let mut whole = [fill; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Integer(i64::from_le_bytes(whole)))
    }

    fn pop(&mut self) -> Result<Value, String> {
        match self.stack.pop() {
            None | Some(Value::Mark) => Err("too few values".to_owned()),
            Some(value) => Ok(value),
        }
    }

    /// The values since the last mark.
    fn group(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or("a group without a begin")?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn keep(&mut self, place: usize) -> Result<(), String> {
        let value = self.stack.last().ok_or("too few values")?.clone();
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), String> {
        let value = self.memo.get(&place).ok_or("a value that was not kept")?.clone();
        self.stack.push(value);
        Ok(())
    }

    fn tuple(&mut self, values: Vec<Value>) -> Result<(), String> {
        let inner = values.iter().map(|value| match value {
            Value::Tuple(_, depth) => *depth,
            _ => 0,
        });
        let depth = 1 + inner.max().unwrap_or(0);
        if depth > DEEPEST {
            return Err(format!("tuples nested deeper than {DEEPEST}"));
        }
        self.stack.push(Value::Tuple(values.into(), depth));
        Ok(())
    }

    fn dictionary(&mut self) {
        self.stack.push(Value::Dictionary(self.dictionaries.len()));
        self.dictionaries.push(Vec::new());
    }

    /// Puts keys and values into the dictionary below them. What is put elsewhere is not needed.
    fn fill(&mut self, values: Vec<Value>) -> Result<(), String> {
        let below = self.stack.last().ok_or("too few values")?;
        let Value::Dictionary(number) = below else {
            return Ok(());
        };
        let pairs = &mut self.dictionaries[*number];
        let (whole, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        pairs.extend(whole.iter().map(|[key, value]| (key.clone(), value.clone())));
        Ok(())
    }
}

/// A storage as PyTorch names it: the word "storage", its class, its file, its device, its length.
fn storage(named: &Value) -> Value {
    match named {
        Value::Tuple(values, _) => match &**values {
            [Value::Text(word), Value::Name(class), Value::Text(key), ..] if &**word == "storage" => {
                let class = class.strip_prefix("torch.").unwrap_or(class);
                Value::Storage(class.into(), key.clone())
            }
            _ => Value::Other,
        },
        _ => Value::Other,
    }
}

/// A tensor: its storage, where in it the tensor starts, shape, strides, and what training needs.
fn tensor(given: &[Value]) -> Option<Tensor> {
    let size = |value: &Value| match value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let sizes = |value: &Value| match value {
        Value::Tuple(values, _) if values.len() <= MOST_SIDES => values.iter().map(size).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let [Value::Storage(storage, key), first, shape, strides, ..] = given else {
        return None;
    };
    let (shape, strides) = (sizes(shape)?, sizes(strides)?);
    (shape.len() == strides.len()).then_some(Tensor {
        storage: storage.clone(),
        key: key.clone(),
        first: size(first)?,
        shape,
        strides,
    })
}

/// A class as messages name it.
pub(super) fn shown(class: &str) -> String {
    excerpt(class, SHORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tensor `name`, of two rows of three floats from the fifth element on, in a dictionary.
    fn program() -> Vec<u8> {
        let mut program = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00wq\x02".to_vec();
        program
            .extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\n");
        program.extend(b"q\x05X\x01\x00\x00\x007q\x06X\x03\x00\x00\x00cpuq\x07K\x20tq\x08QK\x05K\x02K\x03\x86q\x09");
        program.extend(b"K\x03K\x01\x86q\x0a\x89h\x00)Rq\x0btq\x0cRq\x0dX\x01\x00\x00\x00vh\x0du}X\x01\x00\x00\x00mN");
        program.extend(b"sb.");
        program
    }

    #[test]
    fn tensors_are_places_in_storages() {
        let found = tensors(&program()).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["w", "v"]);
        let wanted = Tensor {
            storage: "FloatStorage".into(),
            key: "7".into(),
            first: 5,
            shape: vec![2, 3],
            strides: vec![3, 1],
        };
        assert!(found.iter().all(|(_, tensor)| *tensor == wanted), "{found:?}");
    }

    #[test]
    fn what_would_run_is_left_out() {
        let found = tensors(b"\x80\x02}(X\x01\x00\x00\x00wcposix\nsystem\nX\x02\x00\x00\x00ls\x85Ru.").unwrap();
        assert!(found.is_empty());
    }

    #[test]
    fn hostile_programs_are_errors() {
        let error = |program: &[u8]| tensors(program).unwrap_err();
        assert!(error(b"\x80\x02X\xff\xff\xff\xffab").contains("is cut"));
        assert!(error(b"(((").contains("is cut"));
        assert!(error(b"u").contains("without a begin"));
        assert!(error(b"N.").contains("expected a dictionary"));
        assert!(error(b"i").contains("instruction 0x69"));
        // Tuples in tuples, and a tuple of itself twice over and over.
        assert!(error(&[b")".to_vec(), vec![0x85; 1 << 20]].concat()).contains("nested deeper"));
        let mut doubling = b")q\x00".to_vec();
        doubling.extend(b"h\x00h\x00\x86q\x00".repeat(1 << 16));
        assert!(error(&doubling).contains("nested deeper"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_other_tensors() {
        let whole = program();
        for end in 0..whole.len() {
            assert!(tensors(&whole[..end]).is_err());
        }
        for at in 0..whole.len() {
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = tensors(&changed);
            }
        }
    }
}
