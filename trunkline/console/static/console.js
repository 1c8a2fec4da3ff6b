// Everything that an open page does by itself. No page needs it to be read.
import { startRefreshing } from "./refresh.js";
import { startKeys } from "./keys.js";
import { startActions } from "./actions.js";
import { startClocks } from "./clocks.js";
import { drawCharts } from "./charts.js";
import { startFilters } from "./filters.js";
import { startTails } from "./tail.js";

function afterChange() {
  drawCharts();
  startTails();
}

startClocks();
startKeys();
startFilters();
startActions();
startRefreshing(afterChange);
afterChange();
