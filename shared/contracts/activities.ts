/**
 * The activities by the task queue that serves them. Names are stored in histories: never rename one. Workers build objects of
 * these types; workflows see the types only.
 */
import type { TargetSpec } from '../target-time.js';
import type * as controller from './controller.js';
import type { VerifySignatureInput, VerifySignatureResult } from './decisions.js';
import type * as dev from './dev.js';
import type * as dump from './dump.js';
import type { EnvironmentFacts } from './environment.js';
import type { RecoveryPlan, WindowResult } from './plan.js';
import type * as promotion from './promotion.js';
import type {
  AppendRecordInput,
  AppendRecordResult,
  ReadRecordResult,
  RecordSummary,
  VerifyRecordsResult,
} from './record.js';
import type * as sandbox from './sandbox.js';
import type * as flip from './flip.js';
import type * as rebuild from './rebuild.js';
import type { SendNoticeInput, SendNoticeResult } from './notices.js';
import type { EvidenceCheck } from './sandbox.js';
import type { Topology } from './topology.js';

export type PlanRecoveryInput = {
  environment: string;
  host: string;
  target: TargetSpec;
  /** This store and no other; the best of all when left out. */
  store?: string;
  /** Now, as the workflow saw it: a target after it is in the future. */
  requestedAt: string;
};

/** Of runs of an older build; newer ones tell people by the workflow `tellPeople`. */
export type NotifyInput = {
  environment: string;
  run: string;
  event: 'gate-opened' | 'gate-reminder' | 'gate-expired' | 'needs-attention' | 'ended';
  text: string;
};

export type TakeBaseInput = {
  environment: string;
  node: string;
  run: string;
  runId: string;
  kind: 'full' | 'incremental';
};
export type TakeBaseResult = {
  id: string;
  kind: 'full' | 'incremental';
  timeline: number;
  startLsn: string;
  stopLsn: string;
  bytes: number;
  rawBytes: number;
  seconds: number;
};

/** Served by every orchestrator: they need only the network. */
export interface OrchestratorActivities {
  readEnvironment(input: { environment: string }): Promise<EnvironmentFacts>;
  appendRecord(input: AppendRecordInput): Promise<AppendRecordResult>;
  readRecord(input: { run: string }): Promise<ReadRecordResult>;
  listRecords(input: { environment?: string; sinceIso?: string }): Promise<RecordSummary[]>;
  verifyRecords(input: { run?: string }): Promise<VerifyRecordsResult>;
  verifySignature(input: VerifySignatureInput): Promise<VerifySignatureResult>;
  notify(input: NotifyInput): Promise<void>;
  /** Names of the channels that hear of an environment. */
  listChannels(input: { environment: string }): Promise<{ channels: string[] }>;
  sendNotice(input: SendNoticeInput): Promise<SendNoticeResult>;
  /** What `pgr check` says of the channels of an environment; nothing is sent. */
  checkChannels(input: { environment: string }): Promise<{ checks: EvidenceCheck[] }>;
  verifyWrites(input: promotion.VerifyWritesInput): Promise<promotion.VerifyWritesResult>;
  pauseBackups(input: { environment: string; run: string }): Promise<promotion.PauseBackupsResult>;
  resumeBackups(input: { environment: string; run: string }): Promise<promotion.PauseBackupsResult>;
  readTopology(input: { environment: string; probe: boolean }): Promise<Topology>;
  planFlip(input: flip.PlanFlipInput): Promise<flip.FlipPlan>;
  fenceRouting(input: flip.FenceOldPrimaryInput): Promise<flip.FenceOldPrimaryResult>;
  releaseRouting(input: flip.FenceOldPrimaryInput): Promise<{ outcome: 'released' }>;
  abandonTimeline(input: promotion.AbandonTimelineInput): Promise<{ outcome: 'marked' | 'already-marked' }>;
}

/** Served by the worker of one database host. */
export interface HostActivities {
  /** Answers at once; a run that lost its host waits for this answer and then goes on by itself. */
  pingHost(input: { host: string }): Promise<{ host: string }>;
  readWindow(input: { environment: string; store?: string }): Promise<WindowResult>;
  checkEnvironment(input: { environment: string }): Promise<{ checks: EvidenceCheck[] }>;
  planRecovery(input: PlanRecoveryInput): Promise<RecoveryPlan>;
  prepareSandbox(input: sandbox.PrepareSandboxInput): Promise<sandbox.PrepareSandboxResult>;
  restoreBase(input: sandbox.SandboxStepInput): Promise<sandbox.RestoredBase>;
  combineIncrementals(input: sandbox.SandboxStepInput): Promise<sandbox.CombineIncrementalsResult>;
  replayWal(input: sandbox.SandboxStepInput): Promise<sandbox.ReplayWalResult>;
  verifySandbox(input: sandbox.SandboxStepInput): Promise<sandbox.VerifySandboxResult>;
  readSandbox(input: { ref: sandbox.SandboxRef }): Promise<sandbox.ReadSandboxResult>;
  discardSandbox(input: { ref: sandbox.SandboxRef }): Promise<sandbox.DiscardSandboxResult>;

  planDump(input: dump.PlanDumpInput): Promise<dump.DumpPlan>;
  prepareDumpSandbox(input: dump.DumpStepInput): Promise<dump.PrepareDumpSandboxResult>;
  restoreDump(input: dump.DumpStepInput): Promise<dump.RestoreDumpResult>;
  planDevRestore(input: dev.PlanDevInput): Promise<dev.DevPlan>;
  fetchDevDump(input: dev.DevStepInput): Promise<dev.FetchDevDumpResult>;
  prepareDevTarget(input: dev.DevStepInput): Promise<dev.PrepareDevTargetResult>;
  runDevPhase(input: dev.DevPhaseInput): Promise<dev.DevPhaseResult>;
  verifyDump(input: dump.DumpStepInput): Promise<dump.VerifyDumpResult>;
  handOverSandbox(input: dump.DumpStepInput): Promise<dump.HandOverResult>;

  proveControllerKey(input: { environment: string }): Promise<controller.ProvenKey>;
  planController(input: controller.PlanControllerInput): Promise<controller.ControllerPlan>;
  placeControllerKey(input: controller.ControllerStepInput): Promise<controller.PlaceKeyResult>;
  startController(input: controller.ControllerStepInput): Promise<controller.StartControllerResult>;
  setUpControllerUsers(input: controller.ControllerStepInput): Promise<controller.SetUpUsersResult>;
  addControllerStorage(input: controller.ControllerStepInput): Promise<controller.AddStorageResult>;
  addControllerDatabases(input: controller.ControllerStepInput): Promise<controller.AddDatabasesResult>;

  planPromotion(input: promotion.PlanPromotionInput): Promise<promotion.PromotionPlan>;
  stopApp(input: promotion.AppStepInput): Promise<promotion.AppStepResult>;
  startApp(input: promotion.AppStepInput): Promise<promotion.AppStepResult>;
  captureTail(input: promotion.NodeStepInput): Promise<promotion.CaptureTailResult>;
  fenceNode(input: promotion.NodeStepInput): Promise<promotion.FenceNodeResult>;
  startNode(input: promotion.NodeStepInput): Promise<promotion.StartNodeResult>;
  keepOldData(input: promotion.NodeStepInput): Promise<promotion.KeepOldDataResult>;
  returnOldData(input: promotion.NodeStepInput): Promise<promotion.ReturnOldDataResult>;
  swapIn(input: promotion.SwapInInput): Promise<promotion.SwapInResult>;
  swapOut(input: promotion.NodeStepInput): Promise<promotion.SwapOutResult>;
  endRecovery(input: promotion.EndRecoveryInput): Promise<promotion.EndRecoveryResult>;
  rebaseline(input: promotion.NodeStepInput): Promise<promotion.RebaselineResult>;
  rebuildStandby(input: promotion.RebuildStandbyInput): Promise<promotion.RebuildStandbyResult>;
  planDumpPromotion(input: promotion.PlanDumpPromotionInput): Promise<promotion.DumpPromotionPlan>;
  swapInDump(input: promotion.SwapInDumpInput): Promise<promotion.SwapInResult>;
  finishPromotion(input: promotion.FinishPromotionInput): Promise<{ outcome: 'finished' }>;
  planUndo(input: promotion.PlanUndoInput): Promise<promotion.UndoPlan>;
  takeBase(input: TakeBaseInput): Promise<TakeBaseResult>;

  checkFlipHost(input: flip.CheckFlipHostInput): Promise<flip.CheckFlipHostResult>;
  /** On the host of the old primary; in a failover on that of the candidate. */
  flipWrites(input: flip.FlipInput): Promise<flip.FlipResult>;
  fenceOldPrimary(input: flip.FenceOldPrimaryInput): Promise<flip.FenceOldPrimaryResult>;
  releaseOldPrimary(input: flip.FenceOldPrimaryInput): Promise<flip.ReleaseOldPrimaryResult>;
  backfillArchive(input: flip.BackfillArchiveInput): Promise<flip.BackfillArchiveResult>;
  rejoinOldPrimary(input: flip.RejoinInput): Promise<flip.RejoinResult>;

  planRebuild(input: rebuild.PlanRebuildInput): Promise<rebuild.RebuildPlan>;
  stopStandby(input: rebuild.RebuildStepInput): Promise<rebuild.StopStandbyResult>;
  takeSafetyCopy(input: rebuild.RebuildStepInput): Promise<rebuild.TakeSafetyCopyResult>;
  copyStandby(input: rebuild.RebuildStepInput): Promise<rebuild.CopyStandbyResult>;
  startStandby(input: rebuild.RebuildStepInput): Promise<rebuild.StartStandbyResult>;
  returnSafetyCopy(input: rebuild.RebuildStepInput): Promise<rebuild.ReturnSafetyCopyResult>;
  listSafetyCopies(input: { environment: string; node: string }): Promise<rebuild.ListSafetyCopiesResult>;
  pruneSafetyCopies(input: rebuild.PruneSafetyCopiesInput): Promise<rebuild.PruneSafetyCopiesResult>;
}
