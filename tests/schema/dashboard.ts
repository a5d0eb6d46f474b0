// The types of Grafana's dashboards as their JSON has them: an enum is one of its values, options
// may leave out what has a default, and every kind of panel has options of its own.
import type * as schema from '@grafana/schema';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as StateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as Text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as raw from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';

type NumberOf<T extends number> = number extends T
  ? number
  : `${T}` extends `${infer N extends number}`
    ? N
    : never;
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? NumberOf<T>
    : T extends boolean | null | undefined
      ? T
      : T extends (infer U)[]
        ? Json<U>[]
        : T extends object
          ? { [K in keyof T]: Json<T[K]> }
          : T;
type Part<T> = T extends (infer U)[] ? U[] : T extends object ? { [K in keyof T]?: Part<T[K]> } : T;

// Of the data source's plug-in, which publishes no types.
interface Target {
  refId: string;
  expr: string;
  datasource: { type: 'prometheus'; uid: string };
  legendFormat?: string;
  range?: boolean;
  instant?: boolean;
  exemplar?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
}
interface Marks {
  expr: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: 'on';
}
// Of the panel that lists alerts, which publishes none either.
interface AlertList {
  alertName: string;
  alertInstanceLabelFilter: string;
  dashboardAlerts: boolean;
  groupBy: string[];
  groupMode: 'default' | 'custom';
  maxItems: number;
  sortOrder: 1 | 2 | 3 | 4 | 5;
  stateFilter: Record<'error' | 'firing' | 'noData' | 'normal' | 'pending', boolean>;
  viewMode: 'list' | 'stat';
}

type Common = Json<Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource'>>;
interface Of<Type extends string, Options> {
  type: Type;
  title: string;
  gridPos: Json<raw.GridPos>;
  id: number;
  options?: Part<Json<Options>>;
}
interface Drawn<Custom> {
  datasource: { type: 'prometheus'; uid: string };
  targets: Target[];
  fieldConfig: {
    defaults: Json<Omit<raw.FieldConfig, 'custom'>> & { custom?: Part<Json<Custom>> };
    overrides: Json<raw.FieldConfigSource['overrides']>;
  };
}
export type Panel =
  | (Common & Of<'timeseries', TimeSeries.Options> & Drawn<TimeSeries.FieldConfig>)
  | (Common & Of<'stat', Stat.Options> & Drawn<never>)
  | (Common & Of<'state-timeline', StateTimeline.Options> & Drawn<StateTimeline.FieldConfig>)
  | (Common & Of<'table', Table.Options> & Drawn<Table.FieldConfig>)
  | (Common & Of<'text', Text.Options>)
  | (Common & Of<'alertlist', AlertList>);

export type Dashboard = Json<
  Omit<raw.Dashboard, 'panels' | 'annotations' | 'templating'>
> & {
  uid: string;
  panels: (Panel | Json<Omit<schema.RowPanel, 'panels'>> & { panels: Panel[] })[];
  annotations: { list: (Json<raw.AnnotationQuery> & Marks)[] };
  templating: { list: Json<raw.VariableModel>[] };
};
