#include "parallel/pipeline/draw.hpp"

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

namespace lockstep {
namespace {

constexpr double width = 1000, row_height = 28, bar_height = 24, left = 60, top = 34;
constexpr double narrowest_label = 14;  // pixels a two-digit number needs
constexpr double wait_height = 5, narrowest_wait = 0.5;

double duration(const Schedule& schedule, ActionTimes times, Action::Kind kind) {
  double whole = schedule.splits_backward ? times.backward : times.backward + times.weight;
  if (kind == Action::Kind::forward) whole = times.forward;
  if (kind == Action::Kind::backward_weight) whole = times.weight;
  return whole / schedule.virtual_stages;
}

// Light for a rank's first stage, darker for each further one.
std::string color_of(Action::Kind kind, int stage_of_rank) {
  const int hue = kind == Action::Kind::forward ? 210 : kind == Action::Kind::backward ? 140 : 35;
  return "hsl(" + std::to_string(hue) + ",60%," +
         std::to_string(std::max(35, 72 - 14 * stage_of_rank)) + "%)";
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else {
      result += c;
    }
  }
  return result;
}

void text_at(std::ostream& out, double x, double y, const char* anchor, const std::string& text) {
  out << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\">"
      << escaped(text) << "</text>\n";
}

}  // namespace

std::vector<Bar> bars_of(const Schedule& schedule, ActionTimes times) {
  const Playback playback = play(schedule, times);
  std::vector<Bar> bars;
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
      const Action& action = schedule.actions[rank][i];
      const double begin = playback.start[rank][i];
      bars.push_back(
          {static_cast<int>(rank), action, begin, begin + duration(schedule, times, action.kind)});
    }
  }
  return bars;
}

std::string draw_svg(const std::vector<Bar>& bars,
                     const std::string& title,
                     const std::vector<Wait>& waits) {
  double first = 0, last = 0;
  int ranks = 0;
  std::map<int, std::set<int>> stages;  // of each rank
  for (const Bar& bar : bars) {
    first = ranks == 0 ? bar.begin : std::min(first, bar.begin);
    last = ranks == 0 ? bar.end : std::max(last, bar.end);
    ranks = std::max(ranks, bar.rank + 1);
    stages[bar.rank].insert(bar.action.stage);
  }
  const double scale = last > first ? width / (last - first) : 0;
  const double height = top + ranks * row_height + 10;
  std::ostringstream out;
  out << std::fixed << std::setprecision(2);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << left + width + 10 << ' '
      << height << "\" font-family=\"sans-serif\" font-size=\"11\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  text_at(out, left, 20, "start", title);
  for (int rank = 0; rank < ranks; ++rank) {
    text_at(out, left - 8, top + rank * row_height + 16, "end", "rank " + std::to_string(rank));
  }
  for (const Bar& bar : bars) {
    const std::set<int>& held = stages[bar.rank];
    const auto number = static_cast<int>(std::distance(held.begin(), held.find(bar.action.stage)));
    const double x = left + (bar.begin - first) * scale, w = (bar.end - bar.begin) * scale;
    const double y = top + bar.rank * row_height;
    out << "<rect x=\"" << x << "\" y=\"" << y << "\" width=\"" << w << "\" height=\"" << bar_height
        << "\" fill=\"" << color_of(bar.action.kind, number)
        << "\" stroke=\"white\" stroke-width=\"0.5\"><title>"
        << to_string(bar.action, held.size() > 1) << "</title></rect>\n";
    if (w >= narrowest_label)
      text_at(out, x + w / 2, y + 16, "middle", std::to_string(bar.action.microbatch));
  }
  out << "<path fill=\"hsl(0,75%,50%)\" d=\"";  // one path: there are many
  for (const Wait& wait : waits) {
    const double x = left + (wait.begin - first) * scale, w = (wait.end - wait.begin) * scale;
    if (w < narrowest_wait) continue;
    out << 'M' << x << ' ' << top + wait.rank * row_height + bar_height - wait_height << 'h' << w
        << 'v' << wait_height << 'h' << -w << 'z';
  }
  out << "\"/>\n";
  out << "</svg>\n";
  return out.str();
}

}  // namespace lockstep
