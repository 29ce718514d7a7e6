# What scripts/demo, scripts/test and .ci/run share: where they are, and how they install what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Features that are off by default have lints and tests too; those that need a vendor's library have none here.
extras=(--features attn-sdk/hnsw,attn-sdk/hub,attn-sdk/linfa,attn-sdk/parquet)

say() { printf '\n== %s\n' "$*"; }

# Installs Debian packages that are missing; says what it does and what to do where it cannot.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local sudo=''
  if [ "$(id -u)" -ne 0 ]; then sudo='sudo'; fi
  if ! command -v apt-get >/dev/null || { [ -n "$sudo" ] && ! command -v sudo >/dev/null; }; then
    echo "missing: ${missing[*]}. Install them (Debian: apt-get install ${missing[*]}) and run this again." >&2
    return 1
  fi
  say "installing ${missing[*]}"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs and run this again." >&2; exit 1; }
# A linker, and a Vulkan driver that needs no GPU: pictures are the same on every machine.
command -v cc >/dev/null || need_packages gcc libc6-dev
need_packages libvulkan1 mesa-vulkan-drivers
# Without a session Mesa's layer that selects a device prints two errors about XDG_RUNTIME_DIR for every Vulkan instance:
# it looks for a Wayland display. Nothing needs it here.
[ -n "${XDG_RUNTIME_DIR:-}" ] || export NODEVICE_SELECT=1

