//! Kernels touch memory only through the vocabulary of device operations, so that the executor sees every access.
//!
//! The check reads tokens, not a syntax tree: most of a variant's code comes out of macros, whose bodies a tree
//! leaves opaque. A raw pointer cannot be recognised where it is dereferenced, so every way to get one is refused.

use std::{fs, path::Path};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use walkdir::WalkDir;

/// What may touch memory itself, and host code.
const EXEMPT: &[&str] = &["simt", "executor", "registry.rs"];

/// Names that kernels have no use for but to get around the vocabulary, and what they would do.
const REFUSED: &[(&str, &[&str])] = &[
    ("inline assembly", &["asm", "global_asm", "naked_asm", "arch"]),
    ("compiler intrinsics", &["intrinsics"]),
    (
        "raw pointers",
        &[
            "ptr",
            "NonNull",
            "addr_of",
            "addr_of_mut",
            "as_ptr",
            "as_mut_ptr",
            "as_ptr_range",
            "as_mut_ptr_range",
        ],
    ),
    ("memory from raw pointers", &["from_raw_parts", "from_raw_parts_mut", "from_ref", "from_mut"]),
    ("reinterpreted values", &["transmute", "transmute_copy", "MaybeUninit", "zeroed", "union"]),
    (
        "interior state",
        &["Cell", "RefCell", "UnsafeCell", "OnceCell", "LazyCell", "Mutex", "RwLock", "OnceLock", "LazyLock"],
    ),
    ("code from elsewhere", &["include", "path"]),
];

/// What gets around the vocabulary in `source`, each with its line.
fn faults(source: &str) -> Vec<String> {
    let tokens: TokenStream = source.parse().expect("kernel source is Rust");
    let mut faults = Vec::new();
    scan(tokens, &mut faults);
    faults
}

fn scan(tokens: TokenStream, faults: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let mut refuse =
            |what: &str| faults.push(format!("line {}: {what}: {token}", token.span().start().line));
        let next = |distance: usize| tokens.get(index + distance);
        match token {
            TokenTree::Group(group) => scan(group.stream(), faults),
            TokenTree::Punct(star) if star.as_char() == '*' && is_one_of(next(1), &["const", "mut"]) => {
                refuse("a raw pointer type");
            }
            TokenTree::Punct(and)
                if and.as_char() == '&'
                    && is_one_of(next(1), &["raw"])
                    && is_one_of(next(2), &["const", "mut"]) =>
            {
                refuse("a raw borrow");
            }
            TokenTree::Ident(name) => {
                let name = name.to_string();
                let name = name.strip_prefix("r#").unwrap_or(&name);
                if let Some((what, _)) = REFUSED.iter().find(|(_, names)| names.contains(&name)) {
                    refuse(what);
                }
                if name.starts_with("Atomic") {
                    refuse("interior state");
                }
                if name == "static" && is_one_of(next(1), &["mut"]) {
                    refuse("a mutable static");
                }
                if name == "extern" && (is_block(next(1)) || is_block(next(2))) {
                    refuse("foreign functions");
                }
            }
            _ => {}
        }
    }
}

fn is_one_of(token: Option<&TokenTree>, names: &[&str]) -> bool {
    matches!(token, Some(TokenTree::Ident(name)) if names.iter().any(|other| name == other))
}

fn is_block(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

#[test]
fn kernels_touch_memory_only_through_the_vocabulary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels-gpu/src");
    let (mut files, mut found) = (0, Vec::new());
    for file in WalkDir::new(&folder).sort_by_file_name() {
        let file = file.unwrap();
        let path = file.path().strip_prefix(&folder).unwrap();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if is_source && !EXEMPT.iter().any(|exempt| path.starts_with(exempt)) {
            files += 1;
            let source = fs::read_to_string(file.path()).unwrap();
            found.extend(faults(&source).into_iter().map(|fault| format!("{}: {fault}", path.display())));
        }
    }
    assert!(files >= 8, "only {files} kernel sources were found in {}", folder.display());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_way_around_the_vocabulary_is_caught() {
    for planted in [
        "fn f(p: *const u32) {}",
        "fn f(a: u64) -> u32 { unsafe { *(a as *mut u32) } }",
        "fn f(x: u32) { let p = &raw const x; }",
        "fn f() { unsafe { core::arch::asm!(\"bar.sync 0;\") } }",
        "use core::arch::nvptx::_thread_idx_x;",
        "use core::{arch::nvptx, marker::PhantomData};",
        "core::arch::global_asm!(\".shared .b8 x[4];\");",
        "use std::ptr;",
        "use core::{mem, ptr};",
        "fn f(p: u64) { unsafe { core::ptr::with_exposed_provenance::<u32>(p as usize) }; }",
        "fn f(x: &[u32]) { x.as_ptr(); }",
        "fn f(x: u64) -> &'static u32 { unsafe { core::mem::transmute(x) } }",
        "union Bits { a: u32, b: f32 }",
        "static mut COUNT: u32 = 0;",
        "static COUNT: core::sync::atomic::AtomicU32 = AtomicU32::new(0);",
        "fn f(x: &core::cell::Cell<u32>) {}",
        "unsafe extern \"C\" { fn vprintf(); }",
        "extern { fn vprintf(); }",
        "include!(\"elsewhere.rs\");",
        "r#include!(\"elsewhere.rs\");",
        "#[path = \"../executor/memory.rs\"] mod memory;",
        "#[cfg_attr(target_arch = \"nvptx64\", path = \"../simt/memory.rs\")] mod memory;",
        "macro_rules! module { ($name:ident) => { #[path = \"x.rs\"] mod $name; } }",
        "macro_rules! hidden { ($x:expr) => { unsafe { *($x as *const u32) } }; }",
        "fn f() { nested!({ [core::intrinsics::abort()] }); }",
    ] {
        let source = format!("// a line before\n{planted}\n");
        let found = faults(&source);
        assert!(found.iter().any(|fault| fault.starts_with("line 2: ")), "{planted}: {found:?}");
    }
}

#[test]
fn what_kernels_need_is_not_refused() {
    for sound in [
        "/// Unlike `core::ptr::read` and `asm!`, this is safe.\nfn f() {}",
        "fn f<'a>(x: &'a mut u32, y: &'static str) -> u32 { 2 * *x * 3 }",
        "static VARIANTS: &[u32] = &[1];",
        "unsafe extern \"ptx-kernel\" fn entry(params: u32) { unsafe { body(&params) } }",
        "#[cfg(target_arch = \"nvptx64\")] const TEXT: &str = include_str!(\"a.ptx\");",
        "fn f(a: Global<u32>) -> u32 { unsafe { a.load(0) } }",
    ] {
        assert_eq!(faults(sound), [""; 0], "{sound}");
    }
}
