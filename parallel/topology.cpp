#include "parallel/topology.hpp"

namespace lockstep {

Degrees resolve_degrees(int ranks, int dp, int pp, int cp, int tp) {
  const int rest = pp * cp * tp;
  if (ranks % rest != 0) {
    throw Error(build_string("--tp ", tp, " x --pp ", pp, " x --cp ", cp, " needs a multiple of ", rest,
                             " ranks, there are ", ranks, " ranks: start as many, or change the layout"),
                ExitCode::wrong_ranks);
  }
  if (dp > 0 && dp * rest != ranks) {
    throw Error(build_string("--dp ", dp, " x --tp ", tp, " x --pp ", pp, " x --cp ", cp, " needs ", dp * rest,
                             " ranks, there are ", ranks, " ranks: leave --dp out, or start ", dp * rest),
                ExitCode::wrong_ranks);
  }
  return {.dp = ranks / rest, .pp = pp, .cp = cp, .tp = tp};
}

}  // namespace lockstep
