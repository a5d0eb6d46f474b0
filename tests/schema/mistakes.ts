// Mistakes that the types must refuse: the compiler fails where one of these is accepted.
import type { Dashboard, Panel } from './dashboard';

const place = { id: 1, title: 'A', gridPos: { h: 1, w: 1, x: 0, y: 0 } };
const source = { type: 'prometheus', uid: '${datasource}' } as const;
const config = { defaults: {}, overrides: [] };
const target = { refId: 'A', expr: 'up', datasource: source };
const drawn = { ...place, datasource: source, targets: [target], fieldConfig: config };
declare const good: Dashboard;

export const right: Panel = { ...drawn, type: 'timeseries', options: { legend: { calcs: [] } } };
// @ts-expect-error: a misspelt field of a dashboard
export const a: Dashboard = { ...good, titel: 'Overview' };
// @ts-expect-error: a kind of variable that is none
export const b: Dashboard = { ...good, templating: { list: [{ name: 'job', type: 'qery' }] } };
// @ts-expect-error: a misspelt field of a panel
export const c: Panel = { ...drawn, type: 'stat', descripton: 'Of what' };
// @ts-expect-error: a kind of panel that is none
export const d: Panel = { ...drawn, type: 'timeserie' };
// @ts-expect-error: no kind of panel
export const e: Panel = { ...drawn };
// @ts-expect-error: a place in words
export const f: Panel = { ...drawn, type: 'stat', gridPos: { h: '8', w: 1, x: 0, y: 0 } };
// @ts-expect-error: an option of another kind of panel
export const g: Panel = { ...drawn, type: 'timeseries', options: { colorMode: 'value' } };
// @ts-expect-error: an option with a value that is none
export const h: Panel = { ...drawn, type: 'stat', options: { colorMode: 'backgrund' } };
// @ts-expect-error: a way of drawing that is none
export const i: Panel = { ...drawn, type: 'timeseries', fieldConfig: { ...config, defaults: { custom: { drawStyle: 'lines' } } } };
// @ts-expect-error: a mode of thresholds that is none
export const j: Panel = { ...drawn, type: 'stat', fieldConfig: { ...config, defaults: { thresholds: { mode: 'abs', steps: [] } } } };
// @ts-expect-error: a misspelt field of a query
export const k: Panel = { ...drawn, type: 'stat', targets: [{ ...target, legend: 'up' }] };
// @ts-expect-error: a panel that asks for nothing
export const l: Panel = { ...place, type: 'table', datasource: source, fieldConfig: config };
// @ts-expect-error: a value mapping without its kind
export const m: Panel = { ...drawn, type: 'stat', fieldConfig: { ...config, defaults: { mappings: [{ options: {} }] } } };
// @ts-expect-error: an annotation without a query
export const n: Dashboard = { ...good, annotations: { list: [{ name: 'A', datasource: source, enable: true, iconColor: 'red' }] } };
