"""The systems that wheels are built for."""

from compiling import Target

TARGET = "IMGDUP_TARGET"  # variable with a key of TARGETS; if unset, build for this system

# By platform tag of the wheel, which every Python 3 of that system can install.
TARGETS = {
    "manylinux_2_17_x86_64.manylinux2014_x86_64": Target(True, ".so", "x86_64-linux-gnu.2.17"),
    "manylinux_2_17_aarch64.manylinux2014_aarch64": Target(False, ".so", "aarch64-linux-gnu.2.17"),
    "musllinux_1_2_x86_64": Target(True, ".so", "x86_64-linux-musl"),
    "musllinux_1_2_aarch64": Target(False, ".so", "aarch64-linux-musl"),
    "macosx_11_0_arm64": Target(False, ".dylib", "aarch64-macos.11.0"),
    "macosx_10_13_x86_64": Target(True, ".dylib", "x86_64-macos.10.13"),
    "win_amd64": Target(True, ".dll", "x86_64-windows-gnu"),
}
