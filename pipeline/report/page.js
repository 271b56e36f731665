// Charts take the colours of the page, which follow the reader's setting of light or dark, and paper is light.
const charts = () => [...document.querySelectorAll(".plotly-graph-div")];

function painted(chart, width) {
  const style = getComputedStyle(document.documentElement);
  const [text, back, grid] = ["--text", "--back", "--grid"].map((name) => style.getPropertyValue(name).trim());
  const change = { "font.color": text, paper_bgcolor: back, plot_bgcolor: back, ...width };
  for (const axis of Object.keys(chart.layout).filter((key) => /^[xy]axis/.test(key))) {
    for (const line of ["gridcolor", "zerolinecolor", "linecolor"]) change[`${axis}.${line}`] = grid;
  }
  Plotly.relayout(chart, change);
}

const paint = (width) => charts().forEach((chart) => painted(chart, width));
paint({});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint({}));
addEventListener("beforeprint", () => paint({ autosize: false, width: Math.min(680, innerWidth) }));
addEventListener("afterprint", () => paint({ autosize: true, width: null }));
// The first chart was drawn before there was one beside it.
dispatchEvent(new Event("resize"));
