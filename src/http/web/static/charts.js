// Draws the tables of the health page. A table is all the data of its charts; without this script
// it is there to be read.

const { uPlot } = window;
const HOUR_S = 3600;
const FONT = "12px system-ui, sans-serif";
// Delays are of seconds on good days and of hours on bad ones, so their scale is logarithmic.
const DELAYS = [[1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [36000, "10 h"], [864000, "10 d"]];
const DELAY_LEAST_S = 0.5;

// A table's columns, the first as times in seconds; what is not known is null.
function columns(table) {
  const rows = [...table.tBodies[0].rows];
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const values = names.map((_, at) =>
    rows.map(({ cells }) => {
      if (at === 0) return Date.parse(cells[0].querySelector("time").dateTime) / 1000;
      const value = cells[at].querySelector("data")?.value;
      return value === undefined ? null : Number(value);
    }),
  );
  return { names, values };
}

function options(box, how, names, times, timeZone) {
  const colours = getComputedStyle(box);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const isLong = times.at(-1) - times[0] > 30 * HOUR_S;
  const text = (how) => new Intl.DateTimeFormat("en-GB", { timeZone, ...how });
  const clock = { hour: "2-digit", minute: "2-digit" };
  const day = { weekday: "short", day: "numeric" };
  const [tick, whole] = [text(isLong ? day : clock), text({ ...day, ...clock })];
  const paths = {
    bars: uPlot.paths.bars({ size: [0.8, 12] }),
    steps: uPlot.paths.stepped({ align: -1 }),
    points: uPlot.paths.linear(),
  }[how];
  const isDelay = how === "points";
  const delays = { distr: 3, range: (_, least, most) => [DELAY_LEAST_S, Math.max(most ?? 0, 10) * 2] };
  const axis = {
    stroke: colour("--dim"),
    font: FONT,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: box.clientWidth,
    height: Number.parseInt(colour("--plot"), 10),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), timeZone),
    cursor: { y: false, drag: { x: false }, points: { size: 6 } },
    scales: { y: isDelay ? delays : { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      {
        ...axis,
        size: 26,
        space: 60,
        incrs: isLong ? [24, 48].map((h) => h * HOUR_S) : [1, 2, 3, 4, 6, 12].map((h) => h * HOUR_S),
        values: (_, splits) => splits.map((seconds) => tick.format(seconds * 1000)),
      },
      {
        ...axis,
        size: 48,
        space: 28,
        ...(isDelay && {
          splits: (_, at, least, most) => DELAYS.map(([s]) => s).filter((s) => s >= least && s <= most),
          filter: (_, splits) => splits,
          values: (_, splits) => splits.map((seconds) => new Map(DELAYS).get(seconds)),
        }),
        ...(how === "steps" && { incrs: [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5].map((e) => n * 10 ** e)).sort((a, b) => a - b) }),
      },
    ],
    series: [
      { label: names[0], value: (_, seconds) => (seconds === null ? "—" : whole.format(seconds * 1000)) },
      ...names.slice(1).map((label, at) => ({
        label,
        paths,
        stroke: colour(at ? "--wait" : "--talk"),
        fill: isDelay ? undefined : colour("--ring"),
        width: 1.5,
        points: { show: isDelay, size: 5, fill: colour(at ? "--wait" : "--talk") },
        value: (_, value) => (value === null ? "—" : `${Math.round(value * 100) / 100}${isDelay ? " s" : ""}`),
      })),
    ],
  };
}

function draw(section) {
  const { names, values } = columns(section.querySelector("table"));
  return [...section.querySelectorAll(".chart")].map((figure) => {
    const box = figure.querySelector(".plot");
    const shown = [0, ...figure.dataset.columns.split(" ").map(Number)];
    const of = (all) => shown.map((at) => all[at]);
    const { how } = figure.dataset;
    const chart = new uPlot(options(box, how, of(names), values[0], section.dataset.zone), of(values), box);
    return { box, chart };
  });
}

let drawn = [];
function drawAll() {
  drawn.forEach(({ chart }) => chart.destroy());
  drawn = [...document.querySelectorAll(".series")].flatMap(draw);
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
addEventListener("resize", () => {
  drawn.forEach(({ box, chart }) => chart.setSize({ width: box.clientWidth, height: chart.height }));
});
