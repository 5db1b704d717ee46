// What the printer and the parser of manifests share.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep::checkpoint {

inline constexpr char format_name[] = "lockstep-checkpoint";
inline constexpr int format_version = 1;

// The last bytes of a manifest whose other bytes have this CRC-32C.
std::string closing_lines(std::uint32_t crc);

}  // namespace lockstep::checkpoint
